"""A worker that crawls a hostile site stays under the memory that the service's README states."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from crawls import add_site
from hostile import EXPECTED, hostile
from sites import serving
from tree import growing

from sitesearch.crawl import jobs
from sitesearch.service import service

STATED = 384 * 1024 * 1024


@pytest.mark.timeout(300)
async def test_a_hostile_site_does_not_fill_the_memory(tmp_path: Path) -> None:
    async with serving(hostile()) as site, growing(tmp_path / "data") as tree:
        async with service.running(tree.settings):
            site_id = await add_site(site.url, max_depth=3, max_pages=300, concurrency=16)
            crawl_id = await jobs.begin_crawl(site_id)
        state = "running"
        async with asyncio.timeout(240):
            while state == "running":
                (row,) = await tree.rows("SELECT state FROM crawls WHERE id = $1", crawl_id)
                state = row["state"]
                await asyncio.sleep(0.2)
        peak = tree.peak()
        reasons = await tree.rows("SELECT DISTINCT reason FROM crawl_urls WHERE reason IS NOT NULL")
    assert state == "finished"
    assert {row["reason"] for row in reasons} >= set(EXPECTED.values())
    readme = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
    assert f"under {STATED // 2**20} MiB" in readme
    assert 0 < peak < STATED
    print(f"peak memory of the crawling worker: {peak / 2**20:.0f} MiB")  # noqa: T201
