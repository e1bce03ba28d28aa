"""A crawl of Python's documentation ends with the same pages, whatever is killed on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from crawls import add_site
from sites import Site, files, serving
from tree import Tree, growing

from sitesearch.crawl import jobs
from sitesearch.service import service

DOCUMENTATION = Path("/usr/share/doc/python3-doc/html")


async def _begin(tree: Tree, url: str) -> tuple[int, int]:
    async with service.running(tree.settings):
        site_id = await add_site(url, max_depth=10, concurrency=4)
        crawl_id = await jobs.begin_crawl(site_id)
    assert crawl_id is not None
    return site_id, crawl_id


async def _fetched(tree: Tree, crawl_id: int, at_least: int) -> None:
    async with asyncio.timeout(120):
        while True:
            (row,) = await tree.rows(
                "SELECT count(*) AS pages FROM crawl_urls WHERE crawl_id = $1 AND state = 'fetched'", crawl_id
            )
            if row["pages"] >= at_least:
                return
            await asyncio.sleep(0.1)


async def _end(tree: Tree, crawl_id: int) -> str:
    async with asyncio.timeout(180):
        while True:
            (row,) = await tree.rows("SELECT state FROM crawls WHERE id = $1", crawl_id)
            if row["state"] != "running":
                return str(row["state"])
            await asyncio.sleep(0.2)


async def _kept(tree: Tree, site_id: int) -> dict[str, bytes]:
    rows = await tree.rows("SELECT url, content_hash, depth FROM pages WHERE site_id = $1", site_id)
    return {row["url"]: (row["depth"], row["content_hash"]) for row in rows}  # type: ignore[misc]


@pytest.mark.needs("python-doc")
@pytest.mark.timeout(480)
async def test_the_same_pages_after_every_part_was_killed(tmp_path: Path) -> None:
    async with serving(Site(otherwise=files(DOCUMENTATION))) as site, growing(tmp_path / "data") as tree:
        undisturbed_site, undisturbed = await _begin(tree, f"{site.url}/index.html")
        assert await _end(tree, undisturbed) == "finished"
        expected = await _kept(tree, undisturbed_site)
        assert len(expected) > 500

        disturbed_site, disturbed = await _begin(tree, f"{site.url}/index.html")
        await _fetched(tree, disturbed, 60)
        tree.kill("worker-crawling")
        await _fetched(tree, disturbed, 160)
        tree.restart_postgres()
        await _fetched(tree, disturbed, 300)
        await tree.kill_all()
        await tree.start()
        assert await _end(tree, disturbed) == "finished"

        assert await _kept(tree, disturbed_site) == expected
        counts = await tree.rows(
            "SELECT outcome, reason, sum(urls)::int AS urls FROM crawl_tallies WHERE crawl_id = ANY($1)"
            " GROUP BY crawl_id, outcome, reason ORDER BY crawl_id, outcome, reason",
            [undisturbed, disturbed],
        )
        assert counts[: len(counts) // 2] == counts[len(counts) // 2 :]
