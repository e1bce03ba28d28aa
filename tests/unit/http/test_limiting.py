from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.websockets import WebSocket

from roadworthy import RateLimit, Service, minutes, private, shared
from roadworthy.binding import Binding
from roadworthy.catalogue import catalogue
from roadworthy.errors import RateLimited
from roadworthy.http.limited_routes import USER
from roadworthy.http.problems import exceeded
from roadworthy.http.stack import install
from roadworthy.limits.decision import Decision
from roadworthy.limits.limiters import Limiters
from roadworthy.limits.quota import Quota
from roadworthy.limits.spec import LimitSpec
from roadworthy.security.presented import API_KEY, ApiKey
from roadworthy.telemetry.registry import MetricRegistry


def application() -> FastAPI:
    app = FastAPI()

    @app.api_route("/search", methods=["GET", "POST"])
    async def search() -> dict[str, str]:
        return {"found": "it"}

    @app.get("/sites/{name}")
    async def site(name: str) -> dict[str, str]:
        return {"name": name}

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            for part in (b"one", b"two", b"three"):
                yield part

        return StreamingResponse(body(), media_type="text/plain")

    @app.websocket("/talk")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    return app


@asynccontextmanager
async def served(
    service: Service, app: Any = None, *, proxies: int = 0, around: Callable[[Any], Any] = lambda app: app
) -> AsyncIterator[tuple[httpx.AsyncClient, MetricRegistry]]:
    stack = install(app or application(), service)
    metrics = MetricRegistry(catalogue(service.spec))
    limiters = Limiters(service.name, service.spec.limits)
    nothing: Any = None
    async with (
        service.bind(Binding(nothing, nothing, metrics, limits=limiters, trusted_proxies=proxies)),
        httpx.AsyncClient(transport=httpx.ASGITransport(around(stack)), base_url="http://tested") as client,
    ):
        yield client, metrics


@pytest.fixture
def service() -> Service:
    return Service("tested")


async def test_a_request_past_the_limit_is_answered_429(service: Service) -> None:
    service.limit("api", "2/minute", routes=["GET /search"])
    async with served(service) as (client, metrics):
        first = await client.get("/search")
        assert first.status_code == 200
        assert first.headers["ratelimit-policy"] == '"api";q=2;w=60'
        assert first.headers["ratelimit"].startswith('"api";r=1;t=3')
        assert (await client.get("/search")).headers["ratelimit"].startswith('"api";r=0;t=')
        third = await client.get("/search")
        assert third.status_code == 429
        assert third.headers["content-type"] == "application/problem+json"
        document = third.json()
        assert document["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
        assert document["violated-policies"] == ["api"]
        assert document["request_id"] == third.headers["x-request-id"]
        wait = int(third.headers["retry-after"])
        assert 30 <= wait <= 34
        assert third.headers["ratelimit"] == f'"api";r=0;t={wait}'
        assert third.headers["cache-control"] == "no-store"
        assert third.headers["x-content-type-options"] == "nosniff"
        # It did not reach the application, and counts for its route all the same.
        labels = {"method": "GET", "route": "/search", "status": "429"}
        assert metrics.value("http_requests_total", labels) == 1


async def test_other_routes_methods_and_probes_are_not_limited(service: Service) -> None:
    service.limit("api", "1/minute", routes=["GET /search"])
    async with served(service) as (client, _):
        for _ in range(3):
            assert (await client.post("/search")).status_code == 200
            assert "ratelimit" not in (await client.get("/sites/a")).headers
            assert (await client.get("/livez")).status_code == 200


async def test_head_counts_as_get_and_has_no_body(service: Service) -> None:
    service.limit("api", "1/minute", routes=["GET /search"])
    async with served(service) as (client, _):
        assert (await client.get("/search")).status_code == 200
        refused = await client.head("/search")
        assert (refused.status_code, refused.content) == (429, b"")
        assert int(refused.headers["content-length"]) > 0


async def test_a_line_feed_at_the_end_of_a_path_is_no_way_around(service: Service) -> None:
    service.limit("search", "1/minute", routes=("GET /search", "GET /sites/{name}"))
    async with served(service) as (client, _):
        answers = [await client.get("/search%0A") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429], "which frameworks take for the same"
        assert (await client.get("/search")).status_code == 429


async def test_templates_and_everything(service: Service) -> None:
    service.limit("site", "1/minute", routes=["GET /sites/{name}"])
    service.limit("all", "3/minute", routes=["*"])
    async with served(service) as (client, _):
        one = await client.get("/sites/a")
        assert one.headers["ratelimit-policy"] == '"site";q=1;w=60, "all";q=3;w=60'
        assert [item.split(";")[0] for item in one.headers["ratelimit"].split(", ")] == ['"site"', '"all"']
        assert (await client.get("/sites/b")).json()["violated-policies"] == ["site"]
        assert (await client.get("/nothing")).status_code == 404
        assert (await client.get("/search")).status_code == 200
        assert (await client.get("/search")).json()["violated-policies"] == ["all"]


async def test_a_request_that_may_take_several_routes_is_held_to_the_limits_of_all(service: Service) -> None:
    service.limit("strict", "1/minute", routes=["GET /{tenant}/login"])
    service.limit("lenient", "5/minute", routes=["GET /admin/{page}"])
    async with served(service) as (client, _):
        assert [(await client.get("/admin/login")).status_code for _ in range(2)] == [404, 429]
        assert [(await client.get("/admin/other")).status_code for _ in range(4)] == [404] * 4
        assert (await client.get("/admin/other")).status_code == 429


async def test_what_an_earlier_limit_took_is_not_given_back_where_a_later_one_refuses(service: Service) -> None:
    service.limit("wide", "4/minute", routes=["*"])
    service.limit("narrow", "1/minute", routes=["GET /search"])
    async with served(service) as (client, _):
        asked = [await client.get("/search") for _ in range(5)]
        assert [answer.status_code for answer in asked] == [200, *[429] * 4]
        refusals = [answer.json()["violated-policies"] for answer in asked[1:]]
        assert refusals == [["narrow"]] * 3 + [["wide"]]


async def test_a_limit_declared_before_others_spares_them_what_it_refuses(service: Service) -> None:
    service.limit("narrow", "1/minute", routes=["GET /search"])
    service.limit("wide", "4/minute", routes=["*"])
    async with served(service) as (client, _):
        assert [(await client.get("/search")).status_code for _ in range(9)] == [200, *[429] * 8]
        assert [(await client.get("/sites/a")).status_code for _ in range(4)] == [200] * 3 + [429]


async def test_the_rates_of_one_limit_are_taken_together_or_not_at_all(service: Service) -> None:
    service.limit("both", ["4/hour", "1/minute"], routes=["GET /search"])
    async with served(service) as (client, _):
        asked = [await client.get("/search") for _ in range(9)]
        assert {tuple(answer.json()["violated-policies"]) for answer in asked[1:]} == {("both-2",)}


async def test_streams_come_in_parts_as_they_are_written(service: Service) -> None:
    service.limit("api", "5/minute", routes=["*"])
    stack = install(application(), service)
    nothing: Any = None
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/stream",
        "query_string": b"",
        "headers": [],
        "client": ("10.0.0.1", 1),
        "asgi": {"version": "3.0", "spec_version": "2.4"},
    }
    limiters = Limiters("tested", service.spec.limits)
    async with service.bind(Binding(nothing, nothing, MetricRegistry(catalogue(service.spec)), limits=limiters)):
        await stack(scope, receive, send)
    assert [message.get("body") for message in sent[1:4]] == [b"one", b"two", b"three"]
    assert b"ratelimit" in dict(sent[0]["headers"])


async def test_a_handlers_own_limit_is_answered_the_same(service: Service) -> None:
    login = service.limit("login", ["1/minute", "10/day"], by=None)
    app = application()

    @app.post("/login/{user}")
    async def log_in(user: str) -> dict[str, str]:
        await login.require(user)
        return {"user": user}

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await login.require("somebody")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with served(service, app) as (client, _):
        assert (await client.post("/login/ada")).status_code == 200
        assert (await client.post("/login/bob")).status_code == 200
        refused = await client.post("/login/ada")
        assert refused.status_code == 429
        assert refused.json()["violated-policies"] == ["login"]
        assert refused.headers["ratelimit"] == f'"login";r=0;t={refused.headers["retry-after"]}'
        assert refused.headers["ratelimit-policy"] == '"login";q=1;w=60'
    async with served(service, bare) as (client, _):
        assert [(await client.get("/")).status_code for _ in range(2)] == [204, 429]


async def test_what_never_is_admitted_has_no_retry_after(service: Service) -> None:
    export = service.limit("export", "5/minute", by=None)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await export.require("somebody", 6)

    async with served(service, app) as (client, _):
        refused = await client.get("/")
        assert refused.status_code == 429
        assert "retry-after" not in refused.headers
        assert refused.headers["ratelimit"] == '"export";r=0'


async def test_clients_are_told_apart_behind_proxies(service: Service) -> None:
    service.limit("api", "1/minute", routes=["*"])
    async with served(service, proxies=1) as (client, _):

        async def ask(forwarded: str) -> int:
            return (await client.get("/search", headers={"x-forwarded-for": forwarded})).status_code

        assert [await ask("203.0.113.1"), await ask("203.0.113.2"), await ask("9.9.9.9, 203.0.113.1")] == [
            200,
            200,
            429,
        ]


def key_of(name: str) -> ApiKey:
    return ApiKey(f"key_{name}", "api", name, f"owner of {name}", frozenset())


async def test_keys_users_routes_and_functions(service: Service) -> None:
    service.limit("key", "1/minute", by="api_key", routes=["GET /search"])
    service.limit("user", "1/minute", by="user", routes=["POST /search"])
    service.limit("route", "1/minute", by="route", routes=["GET /sites/{name}"])

    def by_tenant(scope: Any) -> str | None:
        tenant = dict(scope["headers"])[b"x-tenant"].decode()
        return None if tenant == "ours" else tenant

    service.limit("tenant", "1/minute", by=by_tenant, routes=["GET /stream"])

    def around(stack: Any) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            headers = dict(scope["headers"])
            if name := headers.get(b"x-key"):
                scope[API_KEY] = key_of(name.decode())
            if user := headers.get(b"x-user"):
                scope[USER] = user.decode()
            await stack(scope, receive, send)

        return app

    async with served(service, around=around) as (client, _):

        async def ask(method: str, path: str, **headers: str) -> int:
            given = {f"x-{name}": value for name, value in headers.items()}
            return (await client.request(method, path, headers=given)).status_code

        assert [await ask("GET", "/search", key=key) for key in ("a", "b", "a")] == [200, 200, 429]
        # Without a key, the address counts.
        assert [await ask("GET", "/search") for _ in range(2)] == [200, 429]
        assert [await ask("POST", "/search", user=user) for user in ("a", "b", "a")] == [200, 200, 429]
        assert [await ask("POST", "/search", key="a") for _ in range(2)] == [200, 429]
        assert [await ask("POST", "/search") for _ in range(2)] == [200, 429]
        assert [await ask("GET", f"/sites/{name}") for name in "ab"] == [200, 429]
        tenants = ("a", "a", "ours", "ours")
        assert [await ask("GET", "/stream", tenant=tenant) for tenant in tenants] == [200, 429, 200, 200]
        # Nor does it help to have the function fail.
        assert [await ask("GET", "/stream") for _ in range(2)] == [200, 429]


async def test_a_shadow_limit_refuses_nobody_and_tells_nothing(service: Service) -> None:
    service.limit("planned", "1/minute", routes=["*"], shadow=True)
    async with served(service) as (client, _):
        for _ in range(3):
            response = await client.get("/search")
            assert response.status_code == 200
            assert "ratelimit" not in response.headers
            assert "ratelimit-policy" not in response.headers


async def test_the_older_fields_where_they_are_asked_for(service: Service) -> None:
    service.limit("api", "2/minute", routes=["*"], legacy_headers=True)
    async with served(service) as (client, _):
        response = await client.get("/search")
        assert (response.headers["x-ratelimit-limit"], response.headers["x-ratelimit-remaining"]) == ("2", "1")
        await client.get("/search")
        refused = await client.get("/search")
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert int(refused.headers["x-ratelimit-reset"]) > 1_700_000_000


async def test_what_is_kept_for_everybody_tells_nobodys_numbers(service: Service) -> None:
    service.limit("api", "3/minute", routes=["*"])
    service.edge("GET /search", shared(browser=minutes(1), edge=minutes(5)))
    async with served(service) as (client, _):
        response = await client.get("/search")
        assert "public" in response.headers["cache-control"]
        assert "ratelimit" not in response.headers
        # It counts all the same, as does a 304.
        again = await client.get("/search", headers={"if-none-match": response.headers["etag"]})
        assert again.status_code == 304
        assert (await client.get("/sites/a")).headers["ratelimit"].startswith('"api";r=0')
        refused = await client.get("/search")
        assert refused.status_code == 429
        assert refused.headers["cache-control"] == "no-store"


async def test_what_is_one_persons_tells_it_on_a_304_too(service: Service) -> None:
    service.limit("api", "3/minute", routes=["*"])
    service.edge("GET /search", private())
    async with served(service) as (client, _):
        response = await client.get("/search")
        again = await client.get("/search", headers={"if-none-match": response.headers["etag"]})
        assert again.status_code == 304
        assert again.headers["ratelimit"].startswith('"api";r=1')


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
async def test_a_websockets_handshake_counts(service: Service, extensions: dict[str, Any]) -> None:
    service.limit("talk", "1/minute", routes=["GET /talk"])
    stack = install(application(), service)
    limiters = Limiters("tested", service.spec.limits)
    nothing: Any = None

    async def connect(path: str) -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        scope = {
            "type": "websocket",
            "path": path,
            "query_string": b"",
            "headers": [],
            "client": ("10.0.0.1", 1),
            "extensions": extensions,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
        }
        await stack(scope, receive, send)
        return sent

    async with service.bind(Binding(nothing, nothing, MetricRegistry(catalogue(service.spec)), limits=limiters)):
        assert [message["type"] for message in await connect("/talk")][:2] == ["websocket.accept", "websocket.send"]
        refused = await connect("/talk")
    if extensions:
        assert refused[0]["status"] == 429
        assert b"retry-after" in dict(refused[0]["headers"])
    else:
        assert refused == [{"type": "websocket.close", "code": 1008}]


class Away:
    """A limiter that has to ask, as one does whose store is shared."""

    def __init__(self, limiter: Any) -> None:
        self.spec, self.closed, self._limiter = limiter.spec, False, limiter

    def quick(self, key: str, cost: int = 1) -> None:
        return None

    async def check(self, key: str, cost: int = 1) -> Any:
        return self._limiter.quick(key, cost)


async def test_a_limit_that_has_to_be_asked(service: Service) -> None:
    service.limit("near", "3/minute", routes=["*"])
    service.limit("far", "1/minute", routes=["GET /search"])
    service.limit("last", "9/minute", by=lambda _scope: None, routes=["*"])
    stack = install(application(), service)
    limiters = Limiters("tested", service.spec.limits)
    limiters.all = {name: Away(limiter) if name == "far" else limiter for name, limiter in limiters.all.items()}  # type: ignore[misc]
    nothing: Any = None
    metrics = MetricRegistry(catalogue(service.spec))
    async with (
        service.bind(Binding(nothing, nothing, metrics, limits=limiters)),
        httpx.AsyncClient(transport=httpx.ASGITransport(stack), base_url="http://tested") as client,
    ):
        assert (await client.get("/search")).headers["ratelimit"].startswith('"near";r=2')
        refused = await client.get("/search")
        assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["far"])


async def test_a_service_that_is_started_again_counts_anew(service: Service) -> None:
    limit = service.limit("api", "1/minute", routes=["*"])
    assert isinstance(limit, RateLimit)
    stack = install(application(), service)
    nothing: Any = None
    for _ in range(2):
        limiters = Limiters("tested", service.spec.limits)
        async with (
            service.bind(Binding(nothing, nothing, MetricRegistry(catalogue(service.spec)), limits=limiters)),
            httpx.AsyncClient(transport=httpx.ASGITransport(stack), base_url="http://tested") as client,
        ):
            assert [(await client.get("/search")).status_code for _ in range(2)] == [200, 429]
        limiters.close()


def test_a_problem_is_whole() -> None:
    spec = LimitSpec("api", (Quota.parse("5/minute"), Quota.parse("9/hour")))
    error = RateLimited(Decision(False, "api", spec.quotas[1], 1, 0, 400.0, 3600.0, "memory"))
    problem = exceeded(error.decision, 0.0)
    assert problem.headers["retry-after"] == "400"
    assert json.loads(json.dumps(problem.document(None)))["violated-policies"] == ["api-2"]
