"""A hostile site: every trick is refused with its reason, the crawl ends, and others are not held up."""

from __future__ import annotations

import asyncio

import pytest
from crawls import add_site, crawl, running, stored
from hostile import EXPECTED, PAGES, hostile
from sites import Site, page, serving

from sitesearch.crawl import jobs, progress
from sitesearch.crawl.fetch import Limits
from sitesearch.service import pages

SLOW = Limits(connect=1.0, read=5.0, total=60.0)


async def test_each_trick_is_refused_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(hostile(calendar=False)) as site, running(monkeypatch, site):
        site_id = await add_site(site.url, max_depth=1, concurrency=16, max_pages=100)
        done = await crawl(site_id)
        refused = {
            refusal.url.removeprefix(site.url): refusal
            for refusal in await progress.refusals(pages, done.crawl_id, limit=10_000)
        }
        kept = await stored(site_id)

    assert {path: refused[path].reason if path in refused else None for path in EXPECTED} == dict(EXPECTED)
    assert kept == PAGES
    assert refused["/sitemap.xml"].reason == "bad_sitemap"
    assert done.state == "finished"
    assert done.waiting == 0
    assert sum(done.reasons.values()) == len(refused)
    assert "/forbidden/page" not in site.paths()


async def test_other_sites_are_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = Site(routes={"/": page("home", *(f"/{number}" for number in range(40)))})
    healthy.routes |= {f"/{number}": page(f"page {number}") for number in range(40)}
    # More never-ending visits than the worker has hands, if one site could fill them all.
    stuck = Site(routes={"/": page("stuck", *(f"/never-ends?{number}" for number in range(100)))})
    stuck.routes["/never-ends"] = hostile().routes["/never-ends"]
    async with serving(healthy), serving(stuck), running(monkeypatch, healthy, stuck, limits=SLOW):
        stuck_crawl = await jobs.begin_crawl(await add_site(stuck.url, concurrency=4))
        assert stuck_crawl is not None
        while sum(request.path == "/never-ends" for request in stuck.requests) < 1:
            await asyncio.sleep(0.01)
        done = await crawl(await add_site(healthy.url))
        other = await progress.read(pages, stuck_crawl)
        assert other is not None
        await jobs.cancel_crawl(stuck_crawl)
    assert done.fetched == 41
    assert other.state == "running"
    assert other.waiting >= 95


async def test_a_page_of_ten_thousand_links_is_followed_to_the_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(routes={"/": page("many", *(f"/{number}" for number in range(10_000)))}, otherwise=page("one of many"))
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url, max_pages=40, max_alike=30, concurrency=8)
        done = await crawl(site_id)
        kept = await stored(site_id)
    assert len(kept) == 31
    assert done.found == 1 + 5_000
    assert done.reasons == {"too_many_alike": 5_000 - 30}
