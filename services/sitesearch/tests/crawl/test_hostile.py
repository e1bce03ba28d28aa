"""A hostile site: every trick is refused with its reason, the crawl ends, and others are not held up."""

from __future__ import annotations

import pytest
from crawls import add_site, crawl, running, stored
from hostile import EXPECTED, PAGES, hostile
from sites import serving

from sitesearch.crawl import progress
from sitesearch.service import pages


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
