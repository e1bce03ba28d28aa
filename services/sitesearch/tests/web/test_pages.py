"""The pages as a browser without JavaScript gets them."""

from __future__ import annotations

import re
from urllib.parse import quote

import corpus
import httpx
import pytest

from roadworthy import Service, testing
from sitesearch.search.find import Site
from sitesearch.service import keys, pages
from sitesearch.sites import sites
from sitesearch.web.rendering import breadcrumbs, query_url, took


async def test_the_front_page_offers_the_documentation_until_it_is_a_site(client: httpx.AsyncClient) -> None:
    front = await client.get("/")
    assert "Index Roadworthy’s documentation" in front.text
    answer = await client.post("/sites/documentation")
    assert answer.headers["location"] == "/sites/roadworthy-documentation"
    assert "Index Roadworthy’s documentation" not in (await client.get("/")).text
    again = await client.post("/sites/documentation")
    assert again.headers["location"] == "/sites/roadworthy-documentation"
    assert await pages.fetchval("SELECT count(*) FROM crawls") == 1


async def test_results_are_marked_counted_and_linked(client: httpx.AsyncClient, garden: Site) -> None:
    answer = await client.get("/search", params={"site": garden.slug, "q": "compost"})
    assert answer.status_code == 200
    assert "<mark>compost</mark>" in answer.text
    assert 'href="https://garden.example/compost"' in answer.text
    assert re.search(r"3 pages", answer.text)
    assert 'aria-live="polite"' in answer.text


async def test_nothing_of_a_page_or_a_query_becomes_markup(client: httpx.AsyncClient, garden: Site) -> None:
    for text in ("<script>alert(1)</script> safety", '"><img src=x onerror=alert(1)>', "safety compost"):
        answer = await client.get("/search", params={"site": garden.slug, "q": text})
        assert "<script>alert" not in answer.text
        assert "<img" not in answer.text


async def test_every_page_keeps_to_its_own_scripts_and_styles(client: httpx.AsyncClient, garden: Site) -> None:
    for path in (
        "/",
        "/search?site=harbour-garden&q=compost",
        "/sites/new",
        "/sites/harbour-garden",
        "/documentation/",
    ):
        answer = await client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "<style" not in answer.text
        assert " style=" not in answer.text
        assert " onclick=" not in answer.text
        assert "<script>" not in answer.text


async def test_the_fragment_is_the_results_alone(client: httpx.AsyncClient, garden: Site) -> None:
    answer = await client.get(
        "/search", params={"site": garden.slug, "q": "compost"}, headers={"X-Fragment": "results"}
    )
    assert "<html" not in answer.text
    assert "<mark>compost</mark>" in answer.text
    assert "X-Fragment" in answer.headers["vary"]


async def test_corrections_can_be_declined(client: httpx.AsyncClient, garden: Site) -> None:
    answer = await client.get("/search", params={"site": garden.slug, "q": "compst"})
    assert "Showing results for <strong><bdi>compost</bdi></strong>" in answer.text
    declined = await client.get("/search", params={"site": garden.slug, "q": "compst", "exact": "1"})
    assert "Nothing found" in declined.text


@pytest.mark.parametrize(
    "path",
    [
        "/search?site=nope&q=x",
        "/sites/nope",
        "/sites/nope/edit",
        "/sites/nope/export.csv",
        "/nope",
        "/documentation/nope",
    ],
)
async def test_what_is_not_there_is_a_page_that_says_so(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "All sites" in answer.text


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999999999999999999", "²"])
async def test_odd_page_numbers_are_no_error(client: httpx.AsyncClient, garden: Site, page: str) -> None:
    answer = await client.get(f"/search?site={garden.slug}&q=compost&page={quote(page)}")
    assert answer.status_code == 200


async def test_a_site_is_added_changed_and_deleted(client: httpx.AsyncClient) -> None:
    form = {
        "start_url": "example.org/docs",
        "name": "",
        "max_depth": "3",
        "include": "/docs/*\n\n",
        "language": "german",
    }
    added = await client.post("/sites/new", data=form)
    assert added.headers["location"] == "/sites/example-org"
    site = await pages.fetchrow("SELECT * FROM sites")
    assert site is not None
    assert (site["start_url"], site["max_depth"], site["include"]) == ("https://example.org/docs", 3, ["/docs/*"])
    assert "Crawling" in (await client.get("/sites/example-org")).text
    await client.post("/sites/example-org/crawls/1/stop")
    assert "Stopped" in (await client.get("/sites/example-org")).text
    changed = await client.post("/sites/example-org/edit", data={**form, "name": "Example", "recrawl_hours": "24"})
    assert changed.status_code == 303
    assert "every 24 hours" in (await client.get("/sites/example-org")).text
    refused = await client.post("/sites/example-org/delete", data={"confirm": "nope"})
    assert refused.status_code == 422
    await client.post("/sites/example-org/delete", data={"confirm": "Example"})
    assert await pages.fetchval("SELECT count(*) FROM sites") == 0


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("start_url", "ftp://example.org/", "write the address of a web page"),
        ("start_url", "", "Write the address"),
        ("start_url", "https://user:secret@example.org/", "write the address"),
        ("max_depth", "9", "less than or equal to 5"),
        ("content_selector", "[[", "Write a CSS selector"),
        ("language", "klingon", "Choose one of"),
        ("delay_seconds", "nan", "Input should be"),
    ],
)
async def test_what_does_not_fit_is_said_beside_its_field(
    client: httpx.AsyncClient, field: str, value: str, says: str
) -> None:
    answer = await client.post("/sites/new", data={"start_url": "https://example.org/", "name": "<kept>", field: value})
    assert answer.status_code == 422
    assert says.lower() in answer.text.lower()
    assert f'id="{field}-error"' in answer.text
    assert "&lt;kept&gt;" in answer.text


async def test_forms_from_other_sites_are_refused(client: httpx.AsyncClient, garden: Site) -> None:
    form = {"confirm": garden.name}
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        answer = await client.post(f"/sites/{garden.slug}/delete", data=form, headers=headers)
        assert answer.status_code == 403
    assert (await client.post("/sites/new", content=b"x" * 300_000)).status_code == 413


async def test_the_documentation_is_served_and_linked(client: httpx.AsyncClient) -> None:
    assert (await client.get("/documentation")).status_code == 308
    listed = await client.get("/documentation/")
    assert "/documentation/site-search" in listed.text
    guide = await client.get("/documentation/site-search")
    assert "<h1>Site Search</h1>" in guide.text
    assert '<table tabindex="0">' in guide.text
    assert '<pre tabindex="0">' in guide.text


async def test_static_files_are_kept_where_their_address_names_their_version(client: httpx.AsyncClient) -> None:
    front = (await client.get("/")).text
    address = re.search(r'href="(/static/style\.css\?v=\w+)"', front)
    assert address
    assert "immutable" in (await client.get(address[1])).headers["cache-control"]
    for other in ("", "?v=", "?v=0123456789ab", f"{address[1].partition('style.css')[2]}&x"):
        assert (await client.get(f"/static/style.css{other}")).headers["cache-control"] == "public, max-age=60"


async def test_searches_are_measured(client: httpx.AsyncClient, garden: Site, running: Service) -> None:
    await client.get(f"/search?site={garden.slug}&q=compost")
    await client.get(f"/search?site={garden.slug}&q=xqzzyx")
    assert testing.metric(running, "search_queries_total", has_results="yes") == 1
    assert testing.metric(running, "search_queries_total", has_results="no") == 1


def test_addresses_as_people_read_them() -> None:
    assert breadcrumbs("https://a.example/the-guide/index.html") == ["a.example", "the guide"]
    assert breadcrumbs("https://a.example/caf%C3%A9/x_y.html?q=1") == ["a.example", "café", "x y"]
    assert query_url("/search", q="a&b", page=None) == "/search?q=a%26b"
    assert [took(seconds) for seconds in (0.0123, 42.9, 200, 7500)] == ["12 ms", "42 s", "3 min 20 s", "2 h 5 min"]
    assert took(0.0004) == "less than 1 ms"


async def test_a_fault_of_ours_is_a_page_that_tells_nothing_of_the_inside(
    running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitesearch.app import app

    async def faulty(*_: object) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(sites, "list_sites", faulty)
    admin = await keys.issue("tests", scopes=keys.spec.scopes, actor="test")
    headers = {"authorization": f"Bearer {admin.secret}"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://site.test", headers=headers) as client:
        for path, media_type in (("/", "text/html"), ("/api/v1/sites", "application/problem+json")):
            answer = await client.get(path)
            assert answer.status_code == 500
            assert answer.headers["content-type"].startswith(media_type)
            assert "inside" not in answer.text


async def test_the_front_page_says_how_to_add_any_other_site(client: httpx.AsyncClient, garden: Site) -> None:
    front = (await client.get("/")).text
    assert "Any other site: paste its address above" in front
    assert "SITESEARCH_ALLOW_HOSTS" in front
    assert f'href="/search?site={garden.slug}"' in front


async def test_a_host_that_is_no_address_adds_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sites/documentation", headers={"host": "a b"})
    assert answer.status_code == 400
    assert await pages.fetchval("SELECT count(*) FROM sites") == 0


async def test_a_crawl_that_failed_says_what_would_let_it(client: httpx.AsyncClient, running: Service) -> None:
    added = await client.post("/sites/new", data={"start_url": "http://10.0.0.1/", "name": "Intranet"})
    await testing.drain(running)
    shown = (await client.get(added.headers["location"])).text
    assert "Leads to a private address" in shown
    assert "name 10.0.0.1:80 in SITESEARCH_ALLOW_HOSTS" in shown
    assert "name 10.0.0.1:80 in SITESEARCH_ALLOW_HOSTS" in (await client.get("/sites/intranet/crawls/1")).text


async def test_words_of_either_direction_keep_to_themselves(client: httpx.AsyncClient, running: Service) -> None:
    greeting = "\u0645\u0631\u062d\u0628\u0627"
    found = await corpus.add_site(pages, [corpus.Page("/", f"{greeting} harbour", greeting, language="ar")])
    shown = (await client.get("/search", params={"site": found.slug, "q": "harbour"})).text
    assert '<h2 dir="auto">' in shown
    assert '<p class="excerpt" dir="auto">' in shown
