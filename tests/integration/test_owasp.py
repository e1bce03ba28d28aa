"""The OWASP API Security Top 10 of 2023, item by item, on the two services as they are."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.routing import Mount, Route

from roadworthy import EgressRefused, testing
from roadworthy.http.problems import Problem
from roadworthy.http.security_headers import DEFAULT

ADDED = {"x-request-id", "content-length", "content-type", "cache-control", "vary", "retry-after", "allow", "etag"} | {
    "ratelimit",
    "ratelimit-policy",
}
OPERATOR = "f3a9c07d5be1428896d1e0a7c4b2356f"


@asynccontextmanager
async def sitesearch() -> AsyncIterator[httpx.AsyncClient]:
    """A client of Site Search with a key of who runs it, and a small site."""
    from corpus import add_site

    from sitesearch.app import app
    from sitesearch.service import keys, pages, service

    async with testing.running(service):
        await add_site(pages)
        key = await keys.issue("tests", scopes=keys.spec.scopes, limit="1000000/minute", actor="test")
        async with client_of(app, f"Bearer {key.secret}") as client:
            yield client


@asynccontextmanager
async def vitals() -> AsyncIterator[httpx.AsyncClient]:
    """A client of Vitals with the key of one of two users."""
    from events import SECRET
    from people import add_user, key_of, observe

    from vitals.app import app
    from vitals.service import service

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITALS_SECRET_AGGREGATOR", SECRET)
        async with testing.running(service):
            for name in ("ada", "bob"):
                await observe(await add_user(name), "weight", "withings", 70)
            async with client_of(app, f"Bearer {await key_of('user', 'ada')}") as client:
                yield client


def client_of(app: Any, authorization: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://tested", headers={"authorization": authorization}
    )


SERVICES = {"sitesearch": sitesearch, "vitals": vitals}


async def openapi(client: httpx.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await client.get("/api/v1/openapi.json")).json()
    return document


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def filled(path: str, **values: object) -> str:
    return re.sub(r"{(\w+)}", lambda found: str(values.get(found[1], "weight")), path)


async def test_api1_no_object_of_anothers_can_be_had_by_its_id() -> None:
    async with vitals() as client:
        from vitals.service import database

        ada, bob = [row["id"] for row in await database.fetch("SELECT id FROM users ORDER BY reference")]
        asked = 0
        for method, path, _ in operations(await openapi(client)):
            if "{user}" not in path:
                continue
            asked += 1
            own = await client.request(method, filled(path, user=ada))
            anothers = await client.request(method, filled(path, user=bob))
            nobodys = await client.request(method, filled(path, user=2**40))
            assert own.status_code == 200, path
            assert anothers.status_code == nobodys.status_code == 404, path
            assert anothers.json()["detail"] == nobodys.json()["detail"], path
        assert asked >= 4


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer x", "Basic YTpi", "Bearer vitals_" + "A" * 43, "Bearer " + "sitesearch_a" * 9],
)
async def test_api2_nobody_is_let_in_without_a_key_of_his_own(name: str, authorization: str) -> None:
    async with SERVICES[name]() as client:
        for method, path, _ in operations(await openapi(client)):
            answer = await client.request(
                method, filled(path, user=1, site="harbour-garden", crawl=1), headers={"authorization": authorization}
            )
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_api3_no_property_is_set_or_told_that_is_not_declared() -> None:
    async with sitesearch() as client:
        made = {"start_url": "https://example.org", "id": 1, "slug": "mine", "owner": "me"}
        for method, path in (("POST", "/api/v1/sites"), ("PUT", "/api/v1/sites/harbour-garden")):
            answer = await client.request(method, path, json=made)
            assert answer.status_code == 422
            assert {error["location"][-1] for error in answer.json()["errors"]} == {"id", "slug", "owner"}
        told = (await client.get("/api/v1/sites/harbour-garden")).json()
        schema = (await openapi(client))["components"]["schemas"]["SiteView"]["properties"]
        assert told.keys() == schema.keys()


@pytest.mark.parametrize("name", SERVICES)
async def test_api4_nothing_takes_more_than_it_may(name: str) -> None:
    async with SERVICES[name]() as client:
        for method, path, operation in operations(await openapi(client)):
            for parameter in operation.get("parameters", ()):
                kinds = parameter["schema"].get("anyOf", [parameter["schema"]])
                for kind in kinds:
                    bounds = ("maximum", "exclusiveMaximum", "maxLength", "enum", "const", "format", "$ref")
                    bounded = kind.get("type") in ("null", "boolean") or any(bound in kind for bound in bounds)
                    assert bounded or parameter["in"] == "path", (method, path, parameter["name"])
        long = {"x-long": "x" * 40_000}
        assert (await client.get("/api/v1/openapi.json", headers=long)).status_code == 431
        path = "/api/v1/sites" if name == "sitesearch" else "/webhooks/aggregator"
        headers = {"content-type": "application/json"}
        assert (await client.post(path, content=b" " * 2_000_000, headers=headers)).status_code == 413
        assert (await client.post(path, content=b"[" * 1000, headers=headers)).status_code == 422


async def test_api5_no_function_of_the_operators_is_anybody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALS_OPERATOR_KEY", OPERATOR)
    async with vitals() as client:
        for method, path in (
            ("GET", "/operator/api/overview"),
            ("POST", "/operator/api/failed/retry"),
            ("POST", "/operator/api/runs"),
            ("DELETE", "/operator/api/runs/1"),
        ):
            assert (await client.request(method, path)).status_code == 401, path
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert (await client.request(method, "/api/v1/me")).status_code == 405
    async with sitesearch() as client:
        from sitesearch.service import keys

        search = await keys.issue("search", owner="harbour-garden", scopes=("search",), actor="test")
        headers = {"authorization": f"Bearer {search.secret}"}
        for method, path in (("DELETE", "/api/v1/sites/harbour-garden"), ("GET", "/api/v1/sites")):
            assert (await client.request(method, path, headers=headers)).status_code == 403, path


async def test_api6_what_is_dear_is_not_had_again_and_again_by_a_script() -> None:
    """A crawl makes the service ask another site for thousands of pages: one at a time, and few by the same key."""
    from corpus import add_site

    from sitesearch.app import app
    from sitesearch.service import keys, pages, service

    async with testing.running(service):
        site = await add_site(pages)
        issue: dict[str, Any] = {"scopes": keys.spec.scopes, "limit": "4/minute", "actor": "test"}
        greedy, other = [await keys.issue(name, **issue) for name in ("greedy", "other")]
        async with client_of(app, f"Bearer {greedy.secret}") as client:
            asked = [await client.post(f"/api/v1/sites/{site.slug}/crawls") for _ in range(20)]
        assert [answer.status_code for answer in asked] == [202, *[409] * 3, *[429] * 16]
        assert all(int(answer.headers["retry-after"]) > 0 for answer in asked[4:])
        assert (
            await pages.fetchval("SELECT count(*) FROM crawls WHERE site_id = $1 AND state = 'running'", site.id) == 1
        )
        async with client_of(app, f"Bearer {other.secret}") as client:
            assert (await client.get("/api/v1/sites")).status_code == 200, "nobody else pays for it"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://127.0.0.1:5432/",
        "http://localhost.localdomain@10.0.0.1/",
        "http://0/",
        "http://2130706433/",
    ],
)
async def test_api7_nobody_has_the_service_ask_its_own_network(url: str) -> None:
    from sitesearch.crawl.guard import guard_of

    guard = guard_of({})
    with pytest.raises(EgressRefused):
        await guard.resolve(*guard.vet_url(url))


async def refusing(*_: object, **__: object) -> None:
    raise Problem(429, headers={"retry-after": "1"})


async def failing(*_: object, **__: object) -> None:
    raise RuntimeError("hunter2")


@pytest.mark.parametrize(
    ("name", "patched", "path", "invalid"),
    [
        ("sitesearch", "sitesearch.answers.list_sites", "/api/v1/sites", "/api/v1/sites/harbour-garden/search?page=x"),
        ("sitesearch", "sitesearch.answers.list_sites", "/", "/api/v1/sites/harbour-garden/search?page=x"),
        ("vitals", "vitals.reading.metrics.clients", "/api/v1/clients", "/api/v1/clients?limit=x"),
    ],
)
async def test_api8_every_answer_tells_browsers_the_same(
    name: str, patched: str, path: str, invalid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses: dict[int, httpx.Headers] = {}

    async def ask(url: str) -> httpx.Response:
        answer = await client.get(url)
        statuses[answer.status_code] = answer.headers
        return answer

    async with SERVICES[name]() as client:
        for url in (path, "/nowhere", invalid):
            await ask(url)
        for replacement in (refusing, failing):
            monkeypatch.setattr(patched, replacement)
            assert "hunter2" not in (await ask(path)).text
    assert sorted(statuses) == [200, 404, 422, 429, 500]
    expected = {key.decode() for key, _ in DEFAULT.plain}
    for status, headers in statuses.items():
        assert set(headers) - ADDED == expected, status
        assert headers["content-security-policy"].startswith("default-src 'none'; "), status
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["server"] == ""


@pytest.mark.parametrize("name", SERVICES)
async def test_api8_no_other_site_may_read(name: str) -> None:
    async with SERVICES[name]() as client:
        for method in ("GET", "OPTIONS"):
            headers = {"origin": "https://evil.example", "access-control-request-method": "GET"}
            answer = await client.request(method, "/api/v1/openapi.json", headers=headers)
            assert not [field for field in answer.headers if field.startswith("access-control-")]


def routes_of(app: Any) -> set[str]:
    return {route.path for route in app.router.routes if isinstance(route, Route | Mount)}


@pytest.mark.parametrize("name", SERVICES)
async def test_api9_what_is_served_is_known(name: str) -> None:
    async with SERVICES[name]() as client:
        documented = set((await openapi(client))["paths"])
        for path in ("/docs", "/redoc", "/openapi.json", "/api/v2/openapi.json", "/metrics", "/.env", "/.git/config"):
            assert (await client.get(path)).status_code == 404, path
    app = __import__(f"{name}.app", fromlist=["site"]).site
    undocumented = {path for path in routes_of(app) if path.startswith("/api/") and path not in documented}
    assert undocumented == {"/api/v1/openapi.json"}


async def test_api10_what_others_send_is_not_believed() -> None:
    from events import SECRET

    from vitals.service import database
    from vitals.webhooks.signature import FORMAT

    hostile = (b"[]", b"null", b"{}", b'{"event_id": 1}', b'{"data": "x"}', b"\xff", b'{"a":' * 60 + b"1" + b"}" * 60)
    async with vitals() as client:
        for body in hostile:
            signed = FORMAT.sign(body, [SECRET.encode()], now=time.time())
            headers = {"content-type": "application/json", **signed}
            answer = await client.post("/webhooks/aggregator", content=body, headers=headers)
            assert answer.status_code == 422, body
        assert await database.fetchval("SELECT count(*) FROM webhook_events") == 0
