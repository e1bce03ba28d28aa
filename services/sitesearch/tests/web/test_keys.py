"""API keys of sites: each its own, from the page of its owner, and no way around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from corpus import add_site

from sitesearch.app import site as application
from sitesearch.search.find import Site
from sitesearch.service import keys, pages, service
from sitesearch.web.access import owner_of

API = "/api/v1/sites"
KEY = re.compile(r"<code>(sitesearch_[0-9A-Za-z]{8}_[0-9A-Za-z]{30})</code>")
BODIES: dict[tuple[str, str], Any] = {
    ("POST", API): {"start_url": "https://example.org"},
    ("PUT", f"{API}/{{site}}"): {"start_url": "https://example.org"},
    ("POST", f"{API}/{{site}}/searches"): {"query": "compost", "found": True},
}


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in application.openapi()["paths"].items():
        for method, operation in operations.items():
            yield method.upper(), path, operation


OPERATIONS = [(method, path) for method, path, _ in _operations()]


async def key_of(site: Site, *scopes: str) -> dict[str, str]:
    issued = await keys.issue("test", owner=owner_of(site.id), scopes=scopes, actor="test")
    return {"authorization": f"Bearer {issued.secret}"}


async def ask(client: httpx.AsyncClient, method: str, path: str, site: str, headers: dict[str, str]) -> httpx.Response:
    url = path.format(site=site, crawl=1)
    return await client.request(
        method, url, headers=headers, json=BODIES.get((method, path)), params={"q": "compost"}
    )  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_no_route_answers_without_a_key_or_to_that_of_another_site(
    client: httpx.AsyncClient, garden: Site, method: str, path: str
) -> None:
    other = await add_site(pages, name="Orchard") if path != API else garden
    without = await ask(client, method, path, garden.slug, {"authorization": "Bearer none"})
    assert without.status_code == 401
    assert without.headers["www-authenticate"].startswith("Bearer ")
    for scopes in (("search", "manage"), ("search",), ("manage",), ()):
        answer = await ask(client, method, path, garden.slug, await key_of(other, *scopes))
        assert answer.status_code in (403, 404), f"{scopes}: {answer.text}"
        assert "compost" not in answer.text.lower()
    if path != API:
        foreign = await ask(client, method, path, garden.slug, await key_of(other, "search", "manage"))
        absent = await ask(client, method, path, "no-such-site", await key_of(other, "search", "manage"))
        hidden = {"request_id", "type"}
        assert {k: v for k, v in foreign.json().items() if k not in hidden} == {
            k: v for k, v in absent.json().items() if k not in hidden
        }, "what belongs to others looks as if it were not there"
    assert await pages.fetchval("SELECT count(*) FROM sites WHERE slug = $1", garden.slug) == 1
    assert await pages.fetchval("SELECT count(*) FROM crawls WHERE trigger = 'manual' AND state = 'running'") == 0


def test_every_route_is_described_as_asking_for_a_key_and_is_limited() -> None:
    limited = {route for limit in service.spec.limits for route in limit.routes}
    for method, path, operation in _operations():
        assert operation["security"] == [{"API key": []}], f"{method} {path}"
        assert f"{method} {path}" in limited


@pytest.mark.parametrize(
    ("path", "scope"),
    [("search?q=compost", "search"), ("suggest?q=com", "search"), ("analytics", "manage"), ("", "manage")],
)
async def test_a_site_is_reached_with_its_own_key(
    client: httpx.AsyncClient, garden: Site, path: str, scope: str
) -> None:
    url = f"{API}/{garden.slug}/{path}".rstrip("/")
    assert (await client.get(url, headers=await key_of(garden, scope))).status_code == 200
    lacking = "manage" if scope == "search" else "search"
    assert (await client.get(url, headers=await key_of(garden, lacking))).status_code == 403


async def test_what_is_answered_to_a_key_is_kept_by_nobody_else(client: httpx.AsyncClient, garden: Site) -> None:
    answer = await client.get(f"{API}/{garden.slug}/search?q=compost", headers=await key_of(garden, "search"))
    assert answer.headers["cache-control"] == "private, no-cache"


async def test_a_key_may_ask_a_hundred_times_a_minute(client: httpx.AsyncClient, garden: Site) -> None:
    one, other = await key_of(garden, "search"), await key_of(garden, "search")
    url = f"{API}/{garden.slug}/suggest?q=com"
    statuses = [(await client.get(url, headers=one)).status_code for _ in range(105)]
    assert statuses.count(200) >= 100
    assert statuses[-1] == 429
    assert (await client.get(url, headers=other)).status_code == 200
    assert (await client.get(f"/search?site={garden.slug}&q=compost")).status_code == 200


async def test_an_owner_issues_replaces_and_revokes_keys(client: httpx.AsyncClient, garden: Site) -> None:
    page, search = f"/sites/{garden.slug}/keys", f"{API}/{garden.slug}/search?q=compost"
    assert "No program has a key yet" in (await client.get(page)).text

    async def status(secret: str) -> int:
        return (await client.get(search, headers={"authorization": f"Bearer {secret}"})).status_code

    issued = await client.post(page, data={"name": "our <b>shop</b>", "scope": "search"})
    assert issued.headers["cache-control"] == "no-store"
    first = KEY.findall(issued.text)[0]
    assert "our &lt;b&gt;shop&lt;/b&gt;" in issued.text
    assert await status(first) == 200
    shown = (await client.get(page)).text
    assert first[:19] in shown
    assert first not in shown
    replaced = await client.post(f"{page}/{first[:19]}/rotate")
    second = KEY.findall(replaced.text)[0]
    assert (await status(first), await status(second)) == (200, 200)
    assert "already" in (await client.post(f"{page}/{first[:19]}/rotate")).text
    assert (await client.post(f"{page}/{second[:19]}/revoke")).status_code == 303
    assert (await status(first), await status(second)) == (200, 401)
    assert (await client.post(f"{page}/{second[:19]}/revoke")).status_code == 404


@pytest.mark.parametrize("form", [{}, {"name": "x"}, {"name": " ", "scope": "search"}, {"name": "x", "scope": "admin"}])
async def test_a_form_that_does_not_fit_issues_nothing(
    client: httpx.AsyncClient, garden: Site, form: dict[str, str]
) -> None:
    answer = await client.post(f"/sites/{garden.slug}/keys", data=form)
    assert answer.status_code == 422
    assert await keys.list(owner=owner_of(garden.id)) == []


async def test_no_page_of_another_site_touches_a_key(client: httpx.AsyncClient, garden: Site) -> None:
    other = await add_site(pages, name="Orchard")
    issued = await keys.issue("test", owner=owner_of(garden.id), scopes=("search",), actor="test")
    for action in ("rotate", "revoke"):
        assert (await client.post(f"/sites/{other.slug}/keys/{issued.id}/{action}")).status_code == 404
        foreign = {"origin": "https://evil.example"}
        page = f"/sites/{garden.slug}/keys/{issued.id}/{action}"
        assert (await client.post(page, headers=foreign)).status_code == 403
    assert issued.id not in (await client.get(f"/sites/{other.slug}/keys")).text
    assert [record.id for record in await keys.list(owner=owner_of(garden.id))] == [issued.id]


async def test_a_site_that_is_deleted_takes_its_keys_along(client: httpx.AsyncClient, garden: Site) -> None:
    headers = await key_of(garden, "search", "manage")
    assert (await client.delete(f"{API}/{garden.slug}", headers=headers)).status_code == 204
    again = await add_site(pages)
    assert again.slug == garden.slug
    assert (await client.get(f"{API}/{again.slug}/search?q=compost", headers=headers)).status_code == 401
