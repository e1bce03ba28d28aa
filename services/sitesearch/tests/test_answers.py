"""Answers from caches: the same as without, out of date as soon as something is written, and there without a store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import corpus
import httpx
import pytest
from crawls import add_site, crawl
from crawls import running as crawling
from sites import Site as WebSite
from sites import page, serving

from roadworthy import Service, testing
from roadworthy.runtime.settings import Settings
from sitesearch import answers, jobs
from sitesearch.crawl import jobs as crawl_jobs
from sitesearch.jobs import recorder
from sitesearch.search import find
from sitesearch.search.find import Site
from sitesearch.service import analytics, pages, results, service, suggestions

API = "/api/v1/sites"


def untimed(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "took_ms"}


async def found(client: httpx.AsyncClient, site: str, query: str, **more: str) -> Any:
    answer = await client.get(f"{API}/{site}/search", params={"q": query, **more})
    assert answer.status_code == 200
    return answer.json()


async def add_page(site: Site, path: str, title: str) -> None:
    await pages.execute(
        "INSERT INTO pages (site_id, crawl_id, url, depth, title, headings, text, language, content_hash, "
        "extracted_by) VALUES ($1, 1, $2, 1, $3, '', $3, 'en', '', '')",
        site.id,
        f"https://garden.example{path}",
        title,
    )


async def test_a_search_is_made_once_and_answered_the_same(client: httpx.AsyncClient, garden: Site) -> None:
    first = await found(client, garden.slug, "compst")
    again = await found(client, garden.slug, " compst")
    assert results.statistics().loaded == 1
    assert untimed(again) == untimed(first)
    assert 0 < again["took_ms"] < 1000
    shown = [(await client.get(f"/search?site={garden.slug}&q=compst")).text for _ in range(2)]
    assert results.statistics().loaded == 1
    times = re.compile(r"in (less than 1 ms|\d+ ms)")
    assert times.sub("", shown[0]) == times.sub("", shown[1])
    assert "<mark>compost</mark>" in shown[1]


async def test_what_asks_for_something_else_is_another_search(client: httpx.AsyncClient, garden: Site) -> None:
    for more in ({}, {"page": "2"}, {"since": "day"}, {"exact": "true"}):
        await found(client, garden.slug, "compost", **more)
    await found(client, garden.slug, "compost ")
    assert results.statistics().loaded == 5


async def test_a_search_that_was_remembered_is_counted_all_the_same(
    client: httpx.AsyncClient, garden: Site, running: Service
) -> None:
    for _ in range(3):
        await client.get(f"/search?site={garden.slug}&q=compost")
        await found(client, garden.slug, "compost")
    assert testing.metric(running, "search_queries_total", has_results="yes") == 6
    assert testing.metric(running, "search_query_seconds_count") == 1
    assert testing.metric(running, "cache_lookups_total", cache="results", tier="memory", outcome="hit") == 5
    await recorder.value.flush()
    assert await pages.fetchval("SELECT searches FROM query_counts") == 6


async def test_what_is_indexed_shows_when_its_words_are_counted(client: httpx.AsyncClient, garden: Site) -> None:
    assert (await found(client, garden.slug, "violets"))["total"] == 0
    assert (await client.get(f"{API}/{garden.slug}/suggest?q=viol")).json() == []
    await add_page(garden, "/violets", "Planting violets")
    await jobs.refresh_vocabulary(site_id=garden.id)
    assert (await found(client, garden.slug, "violets"))["total"] == 1
    assert (await client.get(f"{API}/{garden.slug}/suggest?q=viol")).json() == ["violets"]


async def test_a_crawl_ends_what_was_known_once_and_not_with_each_page(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"/{name}" for name in "abcdefghij"]
    routes = {"/": page("/", *names), **{name: page(f"{name} violets") for name in names}}
    web = WebSite(routes=routes)
    async with serving(web), crawling(monkeypatch, web):
        site = await add_site(web.url)
        slug = await pages.fetchval("SELECT slug FROM sites")
        before = await answers.search(slug, "violets")
        assert before is not None
        assert before.total == 0
        assert [each.pages for each in await answers.list_sites()] == [0]
        await crawl(site)
        # The commit that ended the crawl may be seen a moment before what follows it.
        async with asyncio.timeout(60):
            while (shown := await answers.search(slug, "violets")) is None or shown.total != len(names):
                await asyncio.sleep(0.02)
        listed = await answers.list_sites()
        invalidations = results.statistics().invalidations
    assert [(each.pages, each.state) for each in listed] == [(11, "finished")]
    assert 1 <= invalidations <= 3


async def test_a_site_is_found_once_it_is_added_and_not_once_it_is_deleted(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await client.get(f"{API}/example/search?q=x")).status_code == 404
        assert (await client.get("/search?site=example&q=x")).status_code == 404
        assert (await client.get(API)).json() == []
        added = await client.post(API, json={"start_url": "https://example.org/", "name": "Example"})
        assert added.headers["location"] == f"{API}/example"
        assert (await client.get(f"{API}/example/search?q=x")).status_code == 200
        assert (await client.get(f"{API}/example/suggest?q=x")).status_code == 200
        assert [each["slug"] for each in (await client.get(API)).json()] == ["example"]
        await client.delete(f"{API}/example")


async def test_changed_settings_show_at_once(client: httpx.AsyncClient, garden: Site) -> None:
    assert "Harbour Garden" in (await client.get(f"/search?site={garden.slug}&q=compost")).text
    settings = (await client.get(f"{API}/{garden.slug}")).json()["settings"]
    await client.put(f"{API}/{garden.slug}", json={**settings, "name": "Rose Garden"})
    for path in (f"/search?site={garden.slug}&q=compost", "/"):
        shown = (await client.get(path)).text
        assert "Rose Garden" in shown
        assert "Harbour Garden" not in shown


async def test_what_is_rolled_back_leaves_nothing_behind(client: httpx.AsyncClient, garden: Site) -> None:
    async def delete_and_fail() -> None:
        async with pages.transaction():
            await pages.execute("DELETE FROM sites")
            await answers.forget_site(garden.slug)
            assert await answers.find_site(garden.slug) is None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await delete_and_fail()
    assert (await found(client, garden.slug, "compost"))["total"] == 3


async def test_a_site_never_answers_for_another(client: httpx.AsyncClient, garden: Site) -> None:
    other = await corpus.add_site(pages, [corpus.Page("/", "Kitchen compost", "Peelings.")], name="Kitchen")
    for _ in range(2):
        assert (await found(client, garden.slug, "compost"))["total"] == 3
        assert (await found(client, other.slug, "compost"))["total"] == 1
        assert (await client.get(f"{API}/{garden.slug}/suggest?q=peel")).json() == []
        assert (await client.get(f"{API}/{other.slug}/suggest?q=peel")).json() == ["peelings"]
    await answers.forget_site(other.slug)
    await found(client, garden.slug, "compost")
    assert results.statistics().loaded == 2
    assert suggestions.statistics().loaded == 2


async def test_analytics_are_read_once_a_minute(client: httpx.AsyncClient, garden: Site) -> None:
    for _ in range(2):
        await client.get(f"{API}/{garden.slug}/analytics")
        await client.get(f"/sites/{garden.slug}/queries")
    assert analytics.statistics().loaded == 1


async def test_a_search_that_fails_is_no_answer(
    client: httpx.AsyncClient, garden: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(*_: object, **__: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(find, "search", late)
        assert (await client.get(f"{API}/{garden.slug}/search?q=compost")).status_code == 503
        slow = await client.get(f"/search?site={garden.slug}&q=compost")
        assert (slow.status_code, slow.headers["cache-control"]) == (503, "no-store")
    assert (await found(client, garden.slug, "compost"))["total"] == 3


@pytest.mark.parametrize("url", [None, "redis://127.0.0.1:1/0"])
async def test_it_answers_whether_its_store_is_there_or_not(url: str | None) -> None:
    async with testing.database(service) as dsn:
        environment = {"DATABASE_URL": dsn} | ({} if url is None else {"REDIS_URL": url})
        async with service.running(Settings.load(environment)):
            site = await corpus.add_site(pages)
            for _ in range(2):
                shown = await answers.search(site.slug, "compost")
                assert shown is not None
                assert shown.total == 3
            counted = results.statistics()
            assert (counted.loaded, counted.hits) == (1, 1)
            await add_page(site, "/more", "More compost")
            await answers.forget_site(site.slug)
            shown = await answers.search(site.slug, "compost")
            assert shown is not None
            assert shown.total == 4


@pytest.mark.parametrize(
    ("path", "browser", "edge"),
    [
        ("/search?site=harbour-garden&q=compost", "public, max-age=60", "max-age=300, stale-while-revalidate=300"),
        (f"{API}/harbour-garden/search?q=x", "private, no-cache", None),
        (f"{API}/harbour-garden/suggest?q=x", "private, no-cache", None),
        ("/search?site=nope&q=compost", "public, max-age=10", "max-age=10"),
        ("/documentation/", "public, max-age=300", "max-age=300"),
        ("/robots.txt", "public, max-age=3600", "max-age=3600"),
        ("/", "private, no-cache", None),
        ("/sites/new", "no-store", None),
        ("/sites/harbour-garden", "no-store", None),
        ("/sites/harbour-garden/edit", "no-store", None),
        ("/sites/harbour-garden/queries", "no-store", None),
        ("/sites/harbour-garden/keys", "no-store", None),
        ("/sites/harbour-garden/export.csv", "no-store", None),
        (API, "no-store", None),
        (f"{API}/harbour-garden/analytics", "no-store", None),
        ("/nope", "no-store", None),
    ],
)
async def test_browsers_and_networks_keep_what_is_everybodys(
    client: httpx.AsyncClient, garden: Site, path: str, browser: str, edge: str | None
) -> None:
    headers = (await client.get(path)).headers
    assert headers["cache-control"] == browser
    assert (headers.get("cdn-cache-control") or "").startswith(edge or "")
    assert ("cdn-cache-control" in headers) == (edge is not None)


async def test_what_changes_something_is_kept_by_nobody(client: httpx.AsyncClient, garden: Site) -> None:
    crawl = await client.post(f"{API}/{garden.slug}/crawls")
    for answer in (
        crawl,
        await client.post(f"{API}/{garden.slug}/searches", json={"query": "x", "found": True}),
        await client.post(f"/sites/{garden.slug}/crawl"),
        await client.delete(crawl.headers["location"]),
    ):
        assert answer.headers["cache-control"] == "no-store"
    await crawl_jobs.cancel_crawl(1)


async def test_a_fragment_is_told_apart_from_its_page(client: httpx.AsyncClient, garden: Site) -> None:
    path = f"/search?site={garden.slug}&q=compost"
    page, fragment = await client.get(path), await client.get(path, headers={"x-fragment": "results"})
    assert page.headers["vary"] == fragment.headers["vary"] == "X-Fragment"
    assert page.headers["etag"] != fragment.headers["etag"]


async def test_documents_are_answered_by_the_stack_itself(client: httpx.AsyncClient) -> None:
    first, again = [await client.get("/documentation/site-search") for _ in range(2)]
    assert "fwd=uri-miss" in first.headers["cache-status"]
    assert "; hit" in again.headers["cache-status"]
    assert again.content == first.content
    for name in ("cache-control", "content-security-policy", "etag"):
        assert again.headers[name] == first.headers[name]
    search = await client.get("/search?site=nope&q=x")
    assert "hit" not in search.headers.get("cache-status", "")
