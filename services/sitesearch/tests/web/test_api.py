"""The API: its shapes, its bounds, and its errors as problem details."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import httpx
import pytest

from sitesearch.jobs import recorder
from sitesearch.search import find
from sitesearch.search.find import Site
from sitesearch.service import pages
from sitesearch.sites.export import inert

API = "/api/v1/sites"


async def test_sites_are_added_read_changed_and_deleted(client: httpx.AsyncClient) -> None:
    added = await client.post(API, json={"start_url": "https://example.org", "name": "Example", "max_depth": 2})
    assert added.status_code == 201
    assert added.headers["location"] == f"{API}/example"
    assert added.json()["settings"]["start_url"] == "https://example.org/"
    changed = await client.put(f"{API}/example", json={"start_url": "https://example.org/", "recrawl_hours": 6})
    assert changed.json()["settings"]["recrawl_hours"] == 6
    assert [site["slug"] for site in (await client.get(API)).json()] == ["example"]
    assert (await client.delete(f"{API}/example")).status_code == 204
    assert (await client.get(f"{API}/example")).status_code == 404


async def test_a_crawl_is_started_once_followed_and_stopped(client: httpx.AsyncClient, garden: Site) -> None:
    begun = await client.post(f"{API}/{garden.slug}/crawls")
    assert begun.status_code == 202
    crawl = begun.headers["location"]
    assert begun.json()["state"] == "running"
    again = await client.post(f"{API}/{garden.slug}/crawls")
    assert again.status_code == 409
    assert again.headers["content-type"] == "application/problem+json"
    assert (await client.get(crawl)).json()["waiting"] >= 1
    assert (await client.get(f"{crawl}/refusals")).json() == []
    assert (await client.delete(crawl)).status_code == 204
    assert (await client.get(f"{API}/{garden.slug}/crawls")).json()[0]["state"] == "cancelled"
    assert (await client.get(f"{API}/{garden.slug}/crawls/999")).status_code == 404


async def test_search(client: httpx.AsyncClient, garden: Site) -> None:
    found = (await client.get(f"{API}/{garden.slug}/search", params={"q": "compst"})).json()
    assert found["corrected"] == "compost"
    assert found["total"] == 3
    assert found["results"][0]["url"] == "https://garden.example/compost"
    assert "<mark>" in found["results"][0]["title_html"]
    assert found["counts"]["anytime"] == 3


async def test_suggestions(client: httpx.AsyncClient, garden: Site) -> None:
    answer = await client.get(f"{API}/{garden.slug}/suggest", params={"q": "comp", "limit": 1})
    assert answer.json() == ["compost"]


@pytest.mark.parametrize(
    "parameters",
    [{"q": "x" * 201}, {"q": "x", "page": 0}, {"q": "x", "page": 21}, {"q": "x", "since": "decade"}, {}],
)
async def test_what_is_out_of_bounds_is_a_problem(
    client: httpx.AsyncClient, garden: Site, parameters: dict[str, str | int]
) -> None:
    answer = await client.get(f"{API}/{garden.slug}/search", params=parameters)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_is_not_there_is_a_problem(client: httpx.AsyncClient) -> None:
    for path in (f"{API}/nope", f"{API}/nope/search?q=x", "/api/v1/nope"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.json()["status"] == 404


async def test_what_people_search_for_is_counted(client: httpx.AsyncClient, garden: Site) -> None:
    for text in ("Compost", "compost ", "xqzzyx"):
        await client.get(f"{API}/{garden.slug}/search", params={"q": text})
    settled = await client.post(f"{API}/{garden.slug}/searches", json={"query": "leaves", "found": True})
    assert settled.status_code == 204
    await recorder.value.flush()
    counted = (await client.get(f"{API}/{garden.slug}/analytics")).json()
    assert counted["top"][0] == {"query": "compost", "searches": 2, "without_results": 0}
    assert [each["query"] for each in counted["without_results"]] == ["xqzzyx"]
    assert len(counted["by_day"]) == 30
    assert counted["by_day"][-1]["searches"] == 4
    shown = await client.get(f"/sites/{garden.slug}/queries")
    assert "xqzzyx" in shown.text


async def test_exports_hold_every_page(client: httpx.AsyncClient, garden: Site) -> None:
    whole = (await client.get(f"{API}/{garden.slug}/export")).json()
    assert len(whole) == 9
    assert set(whole[0]) == {"url", "title", "date", "language", "description", "text"}
    table = await client.get(f"/sites/{garden.slug}/export.csv")
    assert "attachment" in table.headers["content-disposition"]
    assert len(list(csv.DictReader(io.StringIO(table.text)))) == 9
    found = json.loads((await client.get(f"/sites/{garden.slug}/export.json?q=compost")).text)
    assert len(found) == 3
    markdown = (await client.get(f"/sites/{garden.slug}/export.md")).text
    assert "## [Safety \\<script\\>alert\\(1\\)\\</script\\>](<https://garden.example/hostile>)" in markdown


async def test_an_export_of_nothing_is_still_json(client: httpx.AsyncClient) -> None:
    await client.post(API, json={"start_url": "https://example.org", "name": "Example"})
    assert (await client.get(f"{API}/example/export")).json() == []


async def test_no_cell_is_a_formula(client: httpx.AsyncClient, garden: Site) -> None:
    await pages.execute("UPDATE pages SET title = '=HYPERLINK(1)', content_hash = 'x' WHERE url LIKE '%/old'")
    rows = list(csv.DictReader(io.StringIO((await client.get(f"/sites/{garden.slug}/export.csv")).text)))
    assert "'=HYPERLINK(1)" in {row["title"] for row in rows}
    assert [inert(cell) for cell in ("@x", " -1", "+1", "\t=1", "plain")] == ["'@x", "' -1", "'+1", "'\t=1", "plain"]


async def test_openapi_describes_every_route(client: httpx.AsyncClient) -> None:
    described = (await client.get("/api/v1/openapi.json")).json()
    assert "/api/v1/sites/{site}/search" in described["paths"]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), f"{method} {path}"


async def test_each_problem_is_described_as_it_is_answered(client: httpx.AsyncClient) -> None:
    described = (await client.get("/api/v1/openapi.json")).json()
    assert "HTTPValidationError" not in described.get("components", {}).get("schemas", {})
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            problem = operation["responses"]["4XX"]["content"]
            assert list(problem) == ["application/problem+json"], f"{method} {path}"
    exported = described["paths"]["/api/v1/sites/{site}/export"]["get"]["responses"]["200"]["content"]
    assert set(exported) == {"application/json", "text/csv", "text/markdown"}


async def test_a_wrong_method_is_told_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.patch(f"{API}/any", json={})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET, PUT"


@pytest.mark.parametrize(
    "settings",
    [
        {"start_url": "https://exa mple.org/"},
        {"start_url": "http://2130706433/"},
        {"start_url": "http://example.org:0/"},
        {"start_url": "https://example.org/", "name": "a\x00b"},
        {"start_url": "https://example.org/", "include": ["/" + "x" * 300]},
        {"start_url": "https://example.org/", "exclude": ["a\x00"]},
        {"start_url": "https://example.org/", "content_selector": "div[["},
    ],
)
async def test_what_could_not_be_crawled_is_not_kept(
    client: httpx.AsyncClient, settings: dict[str, str | list[str]]
) -> None:
    answer = await client.post(API, json=settings)
    assert answer.status_code == 422
    assert await pages.fetchval("SELECT count(*) FROM sites") == 0


async def test_a_site_is_named_as_people_write_its_host(client: httpx.AsyncClient) -> None:
    added = await client.post(API, json={"start_url": "https://b\u00fccher.example/"})
    assert added.json()["settings"]["name"] == "b\u00fccher.example"
    assert added.json()["settings"]["start_url"] == "https://xn--bcher-kva.example/"


@pytest.mark.parametrize("path", ["/search?q=x", "", "/suggest?q=x", "/export", "/analytics"])
async def test_what_is_no_name_of_a_site_is_not_there(client: httpx.AsyncClient, path: str) -> None:
    for slug in ("%00", "a%00b", "caf%C3%A9", "%FF", "x" * 64):
        assert (await client.get(f"{API}/{slug}{path}")).status_code == 404


async def test_no_query_keeps_others_from_being_counted(client: httpx.AsyncClient, garden: Site) -> None:
    for query in ("a\x00b", "\x00"):
        answer = await client.post(f"{API}/{garden.slug}/searches", json={"query": query, "found": True})
        assert answer.status_code == 204
    await recorder.value.flush()
    assert await pages.fetchval("SELECT query FROM query_counts") == "a b"


async def test_a_body_without_end_is_not_read_to_its_end(client: httpx.AsyncClient) -> None:
    answer = await client.post(API, content=b'{"start_url": "' + b"x" * 300_000)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_export_whose_search_takes_too_long_says_so(
    client: httpx.AsyncClient, garden: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "TIMEOUT", timedelta(0))
    answer = await client.get(f"{API}/{garden.slug}/export", params={"q": "compost"})
    assert answer.status_code == 503
    shown = await client.get(f"/sites/{garden.slug}/export.csv", params={"q": "compost"})
    assert (shown.status_code, shown.headers["retry-after"]) == (503, "2")
    assert "Busy at the moment" in shown.text


async def test_an_export_holds_what_its_page_shows(client: httpx.AsyncClient, garden: Site) -> None:
    shown = await client.get("/search", params={"site": garden.slug, "q": "compst", "exact": "1"})
    assert "export.json" not in shown.text
    exported = await client.get(f"{API}/{garden.slug}/export", params={"q": "compst", "exact": "true"})
    assert exported.json() == []
