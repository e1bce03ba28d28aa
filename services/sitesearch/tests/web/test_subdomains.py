"""A site's own address: its search page, and nothing else of the service."""

from __future__ import annotations

import httpx
import pytest
from corpus import add_site

from sitesearch.search.find import Site
from sitesearch.service import pages
from sitesearch.web.subdomains import site_of

BASE = {"SITESEARCH_BASE_DOMAIN": "search.example"}


@pytest.fixture(autouse=True)
def base_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITESEARCH_BASE_DOMAIN", "search.example")


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("garden.search.example", "garden"),
        ("GARDEN.Search.Example.:8000", "garden"),
        ("search.example", None),
        ("www.search.example", None),
        ("a.b.search.example", None),
        ("gardensearch.example", None),
        ("garden.search.example.evil", None),
        (".search.example", None),
        ("-a.search.example", None),
        ("a_b.search.example", None),
        ("", None),
        (None, None),
    ],
)
def test_a_host_names_a_site(host: str | None, site: str | None) -> None:
    assert site_of(host, BASE) == site
    assert site_of(host, {}) is None


async def test_a_sub_domain_is_the_search_page_of_its_site(client: httpx.AsyncClient, garden: Site) -> None:
    host = {"host": f"{garden.slug}.search.example"}
    front = await client.get("/", headers=host)
    assert front.status_code == 200
    assert f'data-site="{garden.slug}"' in front.text
    found = await client.get("/search", params={"q": "compost"}, headers=host)
    assert "<mark>" in found.text
    named = await client.get("/search", params={"q": "compost", "site": garden.slug}, headers=host)
    assert named.status_code == 200
    settled = {"query": "compost", "found": True}
    assert (await client.post(f"/searches?site={garden.slug}", json=settled, headers=host)).status_code == 204
    assert (await client.get("/robots.txt", headers=host)).status_code == 200


async def test_nothing_else_is_on_a_sub_domain(client: httpx.AsyncClient, garden: Site) -> None:
    other = await add_site(pages, name="Orchard")
    host = {"host": f"{garden.slug}.search.example"}
    for path in (
        "/sites/new", f"/sites/{garden.slug}", f"/sites/{garden.slug}/keys", f"/sites/{garden.slug}/export.json",
        f"/search?site={other.slug}&q=compost", "/documentation", "/documentation/", "/api/v1/sites",
        f"/api/v1/sites/{other.slug}/search?q=compost", f"/api/v1/sites/{other.slug}",
    ):  # fmt: skip
        assert (await client.get(path, headers=host)).status_code == 404, path
    for path in (f"/sites/{garden.slug}/delete", f"/sites/{garden.slug}/keys", "/sites/new", "/api/v1/sites"):
        answer = await client.post(path, headers=host, json={"start_url": "https://example.org"})
        assert answer.status_code == 404, path
    settled = {"query": "compost", "found": True}
    assert (await client.post(f"/searches?site={other.slug}", json=settled, headers=host)).status_code == 404
    own = await client.get(f"/api/v1/sites/{garden.slug}/search?q=compost", headers=host)
    assert own.status_code == 200


async def test_the_sub_domain_of_no_site_is_not_there(client: httpx.AsyncClient, garden: Site) -> None:
    answer = await client.get("/", headers={"host": "nobody.search.example"})
    assert answer.status_code == 404
    assert garden.slug not in answer.text


async def test_the_base_domain_is_the_whole_service(client: httpx.AsyncClient, garden: Site) -> None:
    for host in ("search.example", "www.search.example", "localhost:8000"):
        front = await client.get("/", headers={"host": host})
        assert "A search page for any web site" in front.text
    page = await client.get(f"/sites/{garden.slug}", headers={"host": "search.example:8000"})
    assert f'href="http://{garden.slug}.search.example:8000/"' in page.text


async def test_without_a_base_domain_there_are_none(
    client: httpx.AsyncClient, garden: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SITESEARCH_BASE_DOMAIN")
    front = await client.get("/", headers={"host": f"{garden.slug}.search.example"})
    assert "A search page for any web site" in front.text
    assert "A page of its own" not in (await client.get(f"/sites/{garden.slug}")).text
