"""Whole crawls through the real queue and database: what is kept, what is asked, and when."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from crawls import add_site, crawl, ended, running, stored
from sites import Handler, Request, Site, answer, page, redirect, serving

from roadworthy.security.egress import EgressGuard
from sitesearch.crawl import jobs, pipeline, progress
from sitesearch.service import pages


def site_of(links: Mapping[str, tuple[str, ...]]) -> Site:
    """A site of small pages with these links."""
    return Site(routes={path: page(path, *targets) for path, targets in links.items()})


async def test_every_reachable_page_is_asked_for_and_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of({"/": ("/a", "/b", "#x"), "/a": ("/b", "/c", "/"), "/b": ("/a?utm_source=x",), "/c": ("/c#y",)})
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        done = await crawl(site_id)
        kept = await stored(site_id)
        depths = {
            row["url"][len(site.url) :]: row["depth"] for row in await pages.fetch("SELECT url, depth FROM pages")
        }
    assert kept == {"/", "/a", "/b", "/c"}
    assert depths == {"/": 0, "/a": 1, "/b": 1, "/c": 2}
    assert sorted(site.paths()) == ["/", "/a", "/b", "/c", "/robots.txt", "/sitemap.xml"]
    assert (done.state, done.found, done.fetched, done.waiting, dict(done.reasons)) == ("finished", 4, 4, 0, {})
    assert done.pages_per_second > 0


async def test_distance_is_the_shortest_whatever_answers_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # /far is reached over a quick chain of three and, through a slow page, in two.
    async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await page("slow", "/far")(request, writer)

    site = site_of({"/": ("/q1", "/slow"), "/q1": ("/q2",), "/q2": ("/far",), "/far": ("/edge",), "/edge": ("/over",)})
    site.routes["/slow"] = slow
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url, max_depth=3)
        await crawl(site_id)
        kept = await stored(site_id)
    assert kept == {"/", "/q1", "/q2", "/slow", "/far", "/edge"}


async def test_a_page_limit_cuts_by_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of({"/": ("/d", "/b", "/c", "/a"), **{f"/{name}": ("/z",) for name in "abcd"}})
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url, max_pages=3)
        done = await crawl(site_id)
        kept = await stored(site_id)
        refusals = await progress.refusals(pages, done.crawl_id)
    assert kept == {"/", "/a", "/b"}
    assert done.reasons == {"page_limit": 3}
    assert [refusal.url.removeprefix(site.url) for refusal in refusals] == ["/c", "/d", "/z"]
    assert refusals[0].text == "Beyond the site's page limit"


async def test_calendars_and_endless_paths_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def months(request: Request, writer: asyncio.StreamWriter) -> None:
        number = int(request.path.rpartition("/")[2])
        await page(f"Month {number}", *(f"/month/{number + ahead}" for ahead in range(1, 30)))(request, writer)

    site = Site(routes={"/": page("start", "/month/1", "/a/")}, otherwise=None)

    async def otherwise(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path.startswith("/month/"):
            await months(request, writer)
        elif request.path.startswith("/a/"):
            await page("deeper", request.path + "a/")(request, writer)
        else:
            await answer(status=404)(request, writer)

    site.otherwise = otherwise
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url, max_depth=20, max_alike=25, concurrency=8)
        done = await crawl(site_id)
        kept = await stored(site_id)
    assert done.state == "finished"
    assert len([path for path in kept if path.startswith("/month/")]) == 25
    assert {path for path in kept if path.startswith("/a/")} == {"/a/", "/a/a/", "/a/a/a/"}
    assert done.reasons["too_many_alike"] > 0


async def test_redirects_lead_to_pages_that_are_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(
        routes={
            "/": redirect("/home"),
            "/home": page("home", "/old", "/older", "/new", "/moved"),
            "/old": redirect("/new", 301),
            "/older": redirect("/old", 308),
            "/new": page("new", "/deeper"),
            "/moved": redirect("/hidden", 302),
            "/hidden": page("hidden", "/deeper"),
            "/deeper": page("deeper"),
        }
    )
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        done = await crawl(site_id)
        kept = await stored(site_id)
        states = {
            row["url"][len(site.url) :]: row["state"]
            for row in await pages.fetch("SELECT url, state FROM crawl_urls WHERE kind = 'page'")
        }
    assert kept == {"/home", "/new", "/hidden", "/deeper"}
    assert {path for path, state in states.items() if state == "redirected"} == {"/", "/old", "/older", "/moved"}
    assert (done.state, done.found, done.done, done.fetched) == ("finished", 8, 8, 4)


async def test_canonical_links_count_within_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(
        routes={
            "/": page("home", "/copy", "/mirror"),
            "/copy": page("copy", "/from-copy", head='<link rel="canonical" href="/original">'),
            "/original": page("original", head='<link rel="canonical" href="/original">'),
            "/mirror": page("mirror", head='<link rel="canonical" href="https://elsewhere.example/mirror">'),
            "/from-copy": page("from copy"),
        }
    )
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        done = await crawl(site_id)
        kept = await stored(site_id)
    assert kept == {"/", "/original", "/mirror", "/from-copy"}
    assert done.reasons == {"canonical_elsewhere": 1}


async def test_robots_and_their_headers_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(
        routes={
            "/robots.txt": answer("User-agent: *\nDisallow: /closed", media_type="text/plain"),
            "/": page("home", "/closed", "/closed/too", "/hidden", "/other-bot"),
            "/hidden": answer('<a href="/behind">x</a>', headers={"X-Robots-Tag": "noindex, nofollow"}),
            "/other-bot": answer("<p>fine", headers={"X-Robots-Tag": "otherbot: noindex"}),
        }
    )
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        done = await crawl(site_id)
        kept = await stored(site_id)
    assert kept == {"/", "/other-bot"}
    assert done.reasons == {"robots_forbidden": 2, "no_index": 1}
    assert not [path for path in site.paths() if path.startswith("/closed") or path == "/behind"]


async def test_sitemaps_lead_to_pages_that_nothing_links_to(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(routes={"/": page("home"), "/alone": page("alone"), "/also": page("also")})
    async with serving(site):
        index = f"<sitemapindex><sitemap><loc>{site.url}/more.xml</loc></sitemap></sitemapindex>"
        urls = f"<urlset><url><loc>{site.url}/alone</loc></url><url><loc>http://elsewhere.example/</loc></url></urlset>"
        site.routes["/robots.txt"] = answer(f"Sitemap: {site.url}/index.xml\nSitemap: {site.url}/plain.txt")
        site.routes["/index.xml"] = answer(index, media_type="text/xml")
        site.routes["/more.xml"] = answer(urls, media_type="application/xml")
        site.routes["/plain.txt"] = answer(f"{site.url}/also\n", media_type="text/plain")
        async with running(monkeypatch, site):
            site_id = await add_site(site.url)
            done = await crawl(site_id)
            kept = await stored(site_id)
    assert kept == {"/", "/alone", "/also"}
    assert (done.found, done.fetched) == (3, 3)


async def test_what_did_not_change_is_not_fetched_again_and_still_leads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def tagged(name: str, *links: str) -> Handler:
        async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
            if request.headers.get("if-none-match") == '"1"':
                await answer(status=304)(request, writer)
            else:
                body = "".join(f'<a href="{link}">x</a>' for link in links)
                await answer(f"<title>{name}</title>{body}", headers={"ETag": '"1"'})(request, writer)

        return handle

    site = Site(
        routes={"/": tagged("home", "/a", "/gone"), "/a": tagged("a", "/b"), "/b": page("b"), "/gone": page("gone")}
    )
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        first = await crawl(site_id)
        del site.routes["/gone"]
        second = await crawl(site_id)
        kept = await stored(site_id)
        await pages.execute("UPDATE sites SET content_selector = 'body'")
        third = await crawl(site_id)
    assert (first.fetched, first.unchanged) == (4, 0)
    assert (second.fetched, second.unchanged, second.refused) == (1, 2, 1)
    assert kept == {"/", "/a", "/b"}
    assert (third.fetched, third.unchanged) == (3, 0)


async def test_pages_of_a_server_that_is_down_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "FIRST_RETRY", timedelta(seconds=0.05))
    site = site_of({"/": ("/a",), "/a": ()})
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        await crawl(site_id)
        site.routes["/a"] = answer(status=500)
        second = await crawl(site_id)
        after_failure = await stored(site_id)
        site.routes["/"] = answer(status=500)
        third = await crawl(site_id)
        after_outage = await stored(site_id)
    assert (second.state, dict(second.reasons)) == ("finished", {"server_error": 1})
    assert after_failure == after_outage == {"/", "/a"}
    assert (third.state, third.reason) == ("failed", "server_error")


async def test_a_page_that_recovers_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    times = itertools.count()

    async def flaky(request: Request, writer: asyncio.StreamWriter) -> None:
        handler = answer(status=503, headers={"Retry-After": "1"}) if next(times) < 1 else page("well")
        await handler(request, writer)

    site = Site(routes={"/": page("home", "/flaky"), "/flaky": flaky})
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        done = await crawl(site_id)
        kept = await stored(site_id)
    assert kept == {"/", "/flaky"}
    assert dict(done.reasons) == {}
    first, second = (request.at for request in site.requests if request.path == "/flaky")
    assert second - first >= 1.0


async def test_requests_to_a_host_keep_their_distance_however_many_crawls(monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of({"/": ("/a", "/b", "/c", "/d"), **{f"/{name}": () for name in "abcd"}})
    async with serving(site), running(monkeypatch, site):
        sites = [await add_site(f"{site.url}/", delay_seconds=0.2, concurrency=4) for _ in range(2)]
        await asyncio.gather(*(crawl(site_id) for site_id in sites))
    at = sorted(request.at for request in site.requests if request.path != "/robots.txt")
    assert len(at) == 12
    # A turn may be used late but never early; what remains is the time from the turn to the request's arrival.
    assert at[-1] - at[0] >= 11 * 0.2 - 0.1
    assert sum(later - earlier < 0.1 for earlier, later in itertools.pairwise(at)) <= 1


async def test_an_unreachable_robots_file_forbids_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "FIRST_RETRY", timedelta(seconds=0.05))
    site = Site(routes={"/robots.txt": answer(status=500), "/": page("home")})
    async with serving(site), running(monkeypatch, site):
        done = await crawl(await add_site(site.url))
    assert (done.state, done.reason) == ("failed", "robots_unreachable")
    assert set(site.paths()) == {"/robots.txt"}


async def test_private_addresses_are_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(site_of({"/": ()})) as site, running(monkeypatch):
        done = await crawl(await add_site(site.url))
        (refusal,) = await progress.refusals(pages, done.crawl_id)
    assert (done.state, done.reason) == ("failed", "private_address")
    assert "SITESEARCH_ALLOW_HOSTS" in refusal.detail
    assert site.requests == []


async def test_a_site_has_one_crawl_at_a_time_and_it_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await page("slow", *(f"{request.path}{n}/" for n in "xyz"))(request, writer)

    site = Site(routes={"/robots.txt": answer(status=404)}, otherwise=slow)
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        crawl_id = await jobs.begin_crawl(site_id)
        assert crawl_id is not None
        assert await jobs.begin_crawl(site_id) is None
        await asyncio.sleep(0.3)
        assert await jobs.cancel_crawl(crawl_id)
        assert not await jobs.cancel_crawl(crawl_id)
        done = await ended(crawl_id)
        asked = len(site.requests)
        await asyncio.sleep(0.6)
        again = len(site.requests)
    assert done.state == "cancelled"
    assert again - asked <= 4
    with pytest.raises(LookupError, match="there is no site 999"):
        async with running(monkeypatch, site):
            await jobs.begin_crawl(999)


async def test_addresses_whose_jobs_were_lost_are_picked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of({"/": ("/a", "/b"), "/a": (), "/b": ()})
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        crawl_id = await jobs.frontier.begin(site_id, jobs.CrawlSettings(site.url), "manual")
        assert crawl_id is not None
        await ended(crawl_id)
        # As if the jobs of two addresses had been thrown away, one of them three times.
        await pages.execute("UPDATE crawls SET state = 'running', finished_at = NULL")
        await pages.execute(
            "UPDATE crawl_urls SET state = 'queued', finished_at = NULL, due_at = now() - interval '1 hour',"
            " tries = CASE WHEN url LIKE '%/a' THEN 2 ELSE 0 END WHERE depth = 1"
        )
        await jobs.pick_up_crawls()
        done = await ended(crawl_id)
    assert done.state == "finished"
    assert dict(done.reasons) == {"worker_lost": 1}
    assert site.paths().count("/b") == 2
    assert site.paths().count("/a") == 1


async def test_a_visit_that_is_done_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of({"/": ("/a",), "/a": ()})
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        first = await crawl(site_id)
        await jobs.fetch_page(first.crawl_id, f"{site.url}/a")
        again = await progress.read(pages, first.crawl_id)
    assert again == first
    assert site.paths().count("/a") == 1


async def test_a_fault_of_ours_ends_in_the_report_and_the_crawl_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of({"/": ("/a", "/b"), "/a": (), "/b": ()})
    async with serving(site), running(monkeypatch, site):
        extract = jobs.crawler.value.extract

        async def faulty(fetched, selectors):  # type: ignore[no-untyped-def]
            if fetched.url.endswith("/a"):
                raise RuntimeError("no idea")
            return await extract(fetched, selectors)

        monkeypatch.setattr(jobs.crawler.value, "extract", faulty)
        site_id = await add_site(site.url)
        crawl_id = await jobs.begin_crawl(site_id)
        assert crawl_id is not None
        done = await ended(crawl_id, within=100)
        (refusal,) = await progress.refusals(pages, crawl_id)
        kept = await stored(site_id)
    assert done.state == "finished"
    assert (refusal.reason, refusal.detail) == ("worker_lost", "RuntimeError: no idea")
    assert kept == {"/", "/b"}


async def test_sites_are_crawled_again_when_due(monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of({"/": ()})
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        await jobs.begin_due_crawls()
        assert await pages.fetchval("SELECT count(*) FROM crawls") == 0
        await pages.execute("UPDATE sites SET recrawl_every = interval '1 hour' WHERE id = $1", site_id)
        await jobs.begin_due_crawls()
        await jobs.begin_due_crawls()
        row = await pages.fetchrow("SELECT id, trigger FROM crawls")
        assert row is not None
        done = await ended(row["id"])
        assert await pages.fetchval("SELECT count(*) FROM crawls") == 1
    assert (done.trigger, done.state) == ("schedule", "finished")


@pytest.mark.parametrize("include", [(), ("/docs/*",)])
async def test_where_the_start_leads_on_its_host_is_where_the_site_begins(
    monkeypatch: pytest.MonkeyPatch, include: tuple[str, ...]
) -> None:
    site = site_of({"/en/": ("/docs/a", "/en/more"), "/docs/a": (), "/en/more": ()})
    site.routes["/"] = redirect("/en/", 301)
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url, include=list(include))
        await crawl(site_id)
        kept = await stored(site_id)
    assert kept == {"/en/", "/docs/a"} | (set() if include else {"/en/more"})


async def test_pages_that_name_one_another_or_nothing_as_their_own_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def names(target: str, *links: str) -> Handler:
        return page("named", *links, head=f'<link rel="canonical" href="{target}">')

    site = Site(
        routes={
            "/": page("home", "/a", "/b", "/lost", "/copy", "/chain"),
            "/a": names("/b", "/deeper"),
            "/b": names("/a"),
            "/lost": names("/nowhere"),
            "/copy": names("/moved"),
            "/moved": redirect("/original"),
            "/original": page("original"),
            "/chain": names("/copy"),
            "/deeper": page("deeper"),
        }
    )
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        done = await crawl(site_id)
        kept = await stored(site_id)
        depths = dict(await pages.fetch("SELECT url, depth FROM pages"))
    assert kept == {"/", "/a", "/b", "/lost", "/original", "/deeper"}
    assert dict(done.reasons) == {"canonical_elsewhere": 2, "http_status": 1}
    assert (done.state, done.found, done.done, done.waiting) == ("finished", 10, 10, 0)
    assert depths[f"{site.url}/a"] == 1


async def test_frames_and_pages_that_pass_on_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(
        routes={
            "/": answer("<title>Frames</title><frameset><frame src=menu><frame src=hello></frameset>"),
            "/menu": page("menu", "/old"),
            "/hello": page("hello", text="framed"),
            "/old": page("old", head='<meta http-equiv="Refresh" content="0; URL=\'new\'">'),
            "/new": page("new"),
        }
    )
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        await crawl(site_id)
        kept = await stored(site_id)
    assert kept == {"/", "/menu", "/hello", "/new"}


async def test_what_a_failing_page_led_to_is_kept_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "FIRST_RETRY", timedelta(seconds=0.05))
    site = site_of({"/": ("/hub",), "/hub": ("/leaf",), "/leaf": ()})
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        await crawl(site_id)
        site.routes["/hub"] = answer(status=500)
        await crawl(site_id)
        kept = await stored(site_id)
    assert kept == {"/", "/hub", "/leaf"}


async def test_odd_headers_and_dates_cost_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    late = "Mon, 01 Jan 99999999999 00:00:00 GMT"
    site = Site(
        routes={
            "/": page("home", "/tag", "/date", "/never", head=f'<meta name="date" content="{late}">'),
            "/tag": answer("<p>tag", headers={"ETag": '"caf\u00e9"', "Last-Modified": late}),
            "/never": answer(status=304),
            "/date": page("date", head='<meta name="date" content="2999-01-01">'),
        }
    )
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        done = await crawl(site_id)
        kept = await stored(site_id)
        dated = await pages.fetchval("SELECT published_at FROM pages WHERE url LIKE '%/date'")
    assert kept == {"/", "/tag", "/date"}
    assert dict(done.reasons) == {"bad_http": 1}
    assert dated is None


async def test_a_site_that_cannot_be_crawled_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of({"/": ()})
    async with serving(site), running(monkeypatch, site):
        await add_site("http://no host/", recrawl_every=timedelta(hours=1))
        site_id = await add_site(site.url, recrawl_every=timedelta(hours=1))
        await jobs.begin_due_crawls()
        assert await pages.fetchval("SELECT site_id FROM crawls") == site_id


async def test_reports_of_old_crawls_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of({"/": ()})
    async with serving(site), running(monkeypatch, site):
        site_id = await add_site(site.url)
        for _ in range(jobs.KEPT_CRAWLS + 2):
            await crawl(site_id)
        await jobs.forget_old_crawls()
        left = [row["id"] for row in await pages.fetch("SELECT id FROM crawls ORDER BY id")]
        kept = await stored(site_id)
    assert left == list(range(3, jobs.KEPT_CRAWLS + 3))
    assert kept == {"/"}


async def test_a_start_that_leads_to_its_www_is_crawled_there(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def at_home(host: str, *rest: Any, **named: Any) -> Any:
        return await resolve("127.0.0.1" if str(host).endswith("site.test") else host, *rest, **named)

    async def by_host(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.headers["host"].startswith("www."):
            await page("home", "/a", f"http://site.test:{site.port}/b")(request, writer)
        else:
            await redirect(f"http://www.site.test:{site.port}{request.target}", 301)(request, writer)

    monkeypatch.setattr(loop, "getaddrinfo", at_home)
    site = Site(otherwise=by_host)
    async with serving(site):
        guard = EgressGuard(frozenset({("site.test", site.port), ("www.site.test", site.port)}))
        async with running(monkeypatch, guard=guard):
            site_id = await add_site(f"http://site.test:{site.port}/")
            await crawl(site_id)
            hosts = {row["url"].split("/")[2] for row in await pages.fetch("SELECT url FROM pages")}
            kept = await stored(site_id)
    assert kept == {"/", "/a", "/b"}
    assert hosts == {f"www.site.test:{site.port}"}
