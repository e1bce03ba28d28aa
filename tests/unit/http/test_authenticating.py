"""Requests with API keys, and without: what reaches the application, and how the rest is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI, Request, WebSocket
from starlette.types import Message

from roadworthy import ApiKey, Service
from roadworthy.binding import Binding
from roadworthy.http.stack import Stack, install
from roadworthy.limits.limiters import Limiters
from roadworthy.outage import StoreDown
from roadworthy.security.key import NewKey, make
from roadworthy.security.known_keys import Row
from roadworthy.security.verifying import Verifier
from roadworthy.telemetry.metrics import catalogue
from roadworthy.telemetry.registry import MetricRegistry


class Shop:
    """A service with keys of two kinds, its application, and what there is in its database."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.away = False
        self.reads = 0
        self.seen: list[Any] = []
        self.service = Service("shop")
        self.keys = self.service.api_keys(
            prefix="shop", scopes=("read", "write"), routes={"/api/*": "read", "POST /api/*": "write", "/live": "read"}
        )
        self.admin = self.service.api_keys("admin", prefix="shop_admin", header="X-API-Key", routes={"/admin/*": None})
        self.stack = self._stack()

    def _stack(self) -> Stack:
        site = FastAPI()

        @site.api_route("/api/{rest:path}", methods=["GET", "POST", "HEAD"])
        async def api(request: Request) -> dict[str, str]:
            self.seen.append(request.scope.get("roadworthy.api_key"))
            return {"key": self.keys.current().id}

        @site.get("/open")
        async def opened(request: Request) -> dict[str, bool]:
            self.seen.append(request.scope.get("roadworthy.api_key"))
            return {"known": "roadworthy.api_key" in request.scope}

        @site.get("/admin/users")
        async def users() -> dict[str, str]:
            return {"key": self.admin.current().id}

        @site.get("/writes")
        @self.keys.required("write")
        async def writes(number: int = 1) -> int:
            return number

        @site.get("/writes-in-a-thread")
        @self.keys.required("write")
        def writes_in_a_thread(number: int = 1) -> int:
            return number

        @site.websocket("/live")
        async def live(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text(self.keys.current("read").id)
            await websocket.close()

        return install(site, self.service)

    def add(
        self, *scopes: str, keys: str = "api", prefix: str = "shop", revoked: bool = False, limit: str | None = None
    ) -> NewKey:
        made = make(prefix)
        key = ApiKey(made.id, keys, "test", "me", frozenset(scopes), limit)
        self.rows[made.id] = Row(key, made.digest, revoked, None)
        return made

    async def read(self, ids: Sequence[str]) -> Mapping[str, Row]:
        self.reads += 1
        if self.away:
            raise StoreDown("away")
        return {id: self.rows[id] for id in ids if id in self.rows}

    async def touch(self, used: Mapping[str, float]) -> None:
        pass

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        nothing: Any = None
        verifiers = {spec.name: Verifier(spec, self.read, self.touch) for spec in self.service.spec.api_keys}
        metrics = MetricRegistry(catalogue(self.service.spec.request_buckets))
        limits = Limiters("shop", self.service.spec.limits)
        async with (
            self.service.bind(Binding(nothing, nothing, metrics, api_keys=verifiers, limits=limits)),
            httpx.AsyncClient(transport=httpx.ASGITransport(self.stack), base_url="http://shop") as client,
        ):
            self.verifiers = verifiers
            yield client
            for verifier in verifiers.values():
                await verifier.close()


def bearer(key: NewKey) -> dict[str, str]:
    return {"authorization": f"Bearer {key.text}"}


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def test_a_request_without_a_key_is_told_to_send_one(shop: Shop) -> None:
    async with shop.client() as client:
        for path in ("/api", "/api/x", "/api/x/"):
            answer = await client.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="api"'
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert (await client.head("/api/x")).status_code == 401
    assert shop.seen == []
    assert shop.reads == 0
    assert shop.verifiers["api"].outcomes == {"missing": 4}


async def test_a_key_reaches_the_handler(shop: Shop) -> None:
    key = shop.add("read")
    async with shop.client() as client:
        answer = await client.get("/api/x", headers=bearer(key))
        assert answer.json() == {"key": key.id}
        assert (await client.get("/api/x", headers={"authorization": f"bEARER  {key.text} "})).status_code == 200
    assert [seen.id for seen in shop.seen] == [key.id, key.id]


async def test_a_scope_that_is_missing_is_named(shop: Shop) -> None:
    key = shop.add("read")
    async with shop.client() as client:
        answer = await client.post("/api/x", headers=bearer(key))
        assert answer.status_code == 403
        assert 'error="insufficient_scope", scope="write"' in answer.headers["www-authenticate"]
        assert (await client.post("/api/x", headers=bearer(shop.add("write")))).status_code == 403
        assert (await client.post("/api/x", headers=bearer(shop.add("read", "write")))).status_code == 200
    assert shop.verifiers["api"].outcomes["forbidden"] == 2


@pytest.mark.parametrize(
    "value",
    [
        "{key}",
        "Basic {key}",
        "Bearer",
        "Bearer ",
        "Bearer {key}x",
        "Bearer {key}, Bearer {key}",
        "Bearer x {key}",
        "Bearer shop_aaaaaaaa_" + "a" * 30,
        "Bearer shop_aaaaaaaa_" + "é" * 30,
        "Bearer " + "x" * 5000,
    ],
)
async def test_what_shows_no_key_is_refused_before_the_application(shop: Shop, value: str) -> None:
    key = shop.add("read")
    async with shop.client() as client:
        sent = value.format(key=key.text).encode("latin-1")
        answer = await client.get("/api/x", headers=[(b"authorization", sent)])
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert key.text not in answer.text
    assert shop.seen == []


@pytest.mark.parametrize(
    "path",
    ["/admin/users%0A", "/admin//users", "/admin/%75sers", "/admin/users/", "//admin/users", "/ADMIN/users"],
)
async def test_no_spelling_of_a_path_gets_around(shop: Shop, path: str) -> None:
    async with shop.client() as client:
        answer = await client.get(path, follow_redirects=True)
        assert answer.status_code in (401, 404), answer.text


async def test_two_keys_are_none(shop: Shop) -> None:
    one, other = shop.add("read"), shop.add("read")
    async with shop.client() as client:
        shown = [("authorization", f"Bearer {one.text}"), ("authorization", f"Bearer {other.text}")]
        assert (await client.get("/api/x", headers=shown)).status_code == 401


async def test_a_key_in_a_query_or_cookie_is_none(shop: Shop) -> None:
    key = shop.add("read")
    async with shop.client() as client:
        answer = await client.get("/api/x", params={"authorization": key.text}, headers={"cookie": f"key={key.text}"})
        assert answer.status_code == 401


async def test_a_route_that_asks_for_none_knows_a_key_and_bears_a_wrong_one(shop: Shop) -> None:
    key, revoked = shop.add("read"), shop.add("read", revoked=True)
    async with shop.client() as client:
        assert (await client.get("/open")).json() == {"known": False}
        assert shop.reads == 0
        assert (await client.get("/open", headers=bearer(key))).json() == {"known": True}
        assert (await client.get("/open", headers=bearer(revoked))).json() == {"known": False}
        assert (await client.get("/open", headers={"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."})).json() == {
            "known": False
        }


async def test_keys_of_another_kind_are_shown_elsewhere_and_open_nothing_here(shop: Shop) -> None:
    key, admin = shop.add("read"), shop.add(keys="admin", prefix="shop_admin")
    async with shop.client() as client:
        assert (await client.get("/admin/users", headers={"x-api-key": admin.text})).json() == {"key": admin.id}
        assert (await client.get("/admin/users", headers=bearer(admin))).status_code == 401
        assert (await client.get("/admin/users", headers=bearer(key))).status_code == 401
        assert (await client.get("/admin/users", headers={"x-api-key": key.text})).status_code == 401
        assert (await client.get("/api/x", headers={"x-api-key": admin.text})).status_code == 401
        missing = await client.get("/admin/users")
        assert missing.headers["www-authenticate"] == 'ApiKey realm="admin", header="x-api-key"'


@pytest.mark.parametrize("path", ["/writes", "/writes-in-a-thread"])
async def test_a_handler_asks_for_a_scope_itself(shop: Shop, path: str) -> None:
    async with shop.client() as client:
        assert (await client.get(path)).status_code == 401
        assert (await client.get(path, headers=bearer(shop.add("read")))).status_code == 403
        answer = await client.get(path, params={"number": 7}, headers=bearer(shop.add("write")))
        assert (answer.status_code, answer.json()) == (200, 7)
        revoked = await client.get(path, headers=bearer(shop.add("write", revoked=True)))
        assert (revoked.status_code, revoked.json()["detail"]) == (401, "The API key was revoked.")


async def test_a_key_that_nobody_can_verify_is_told_to_come_again(shop: Shop) -> None:
    known = shop.add("read")
    async with shop.client() as client:
        await client.get("/api/x", headers=bearer(known))
        shop.away = True
        answer = await client.get("/api/x", headers=bearer(shop.add("read")))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "www-authenticate" not in answer.headers
        assert (await client.get("/api/x", headers=bearer(known))).status_code == 200
        assert (await client.get("/open", headers=bearer(shop.add("read")))).json() == {"known": False}


async def test_the_current_key_is_that_of_the_request_alone(shop: Shop) -> None:
    key = shop.add("write")
    async with shop.client() as client:
        assert (await client.get("/writes", headers=bearer(key))).status_code == 200
        assert (await client.get("/writes")).status_code == 401


async def _handshake(shop: Shop, headers: Mapping[str, str], extensions: Mapping[str, Any]) -> list[Message]:
    sent: list[Message] = []
    scope = {
        "type": "websocket",
        "path": "/live",
        "raw_path": b"/live",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "extensions": extensions,
        "subprotocols": [],
    }

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(cast(Message, message))

    await shop.stack(scope, receive, send)
    return sent


async def test_a_websocket_is_asked_in_its_handshake(shop: Shop) -> None:
    async with shop.client():
        refused = await _handshake(shop, {}, {"websocket.http.response": {}})
        assert [message["type"] for message in refused] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        assert refused[0]["status"] == 401
        assert await _handshake(shop, {}, {}) == [{"type": "websocket.close", "code": 1008}]
        key = shop.add("read")
        accepted = await _handshake(shop, bearer(key), {})
        assert accepted[0]["type"] == "websocket.accept"
        assert accepted[1]["text"] == key.id


async def test_what_a_key_is_shown_for_is_kept_by_no_shared_cache(shop: Shop) -> None:
    from roadworthy import minutes, shared

    shop.service.edge("GET /admin/users", shared(edge=minutes(5)))
    shop.stack = shop._stack()
    admin = shop.add(keys="admin", prefix="shop_admin")
    async with shop.client() as client:
        answer = await client.get("/admin/users", headers={"x-api-key": admin.text})
        assert answer.status_code == 200
        assert "private" in answer.headers["cache-control"]


async def test_a_key_has_the_rate_of_the_limit_or_one_of_its_own(shop: Shop) -> None:
    limit = shop.service.limit("api", "3/minute", by="api_key", routes=("GET /open",))
    shop.stack = shop._stack()
    usual, slow, odd = shop.add("read"), shop.add("read", limit="1/minute"), shop.add("read", limit="many")
    async with shop.client() as client:

        async def statuses(key: NewKey | None) -> list[int]:
            headers = {} if key is None else bearer(key)
            return [(await client.get("/open", headers=headers)).status_code for _ in range(5)]

        assert await statuses(usual) == [200, 200, 200, 429, 429]
        assert await statuses(slow) == [200, 429, 429, 429, 429]
        assert await statuses(odd) == [200, 200, 200, 429, 429]
        assert await statuses(None) == [200, 200, 200, 429, 429]
        told = await client.get("/open", headers=bearer(shop.add("read", limit="9/second")))
        assert told.headers["ratelimit-policy"] == '"api";q=9;w=1'
        assert told.headers["ratelimit"].startswith('"api";r=8')
        plain = await client.get("/open", headers=bearer(shop.add("read")))
        assert plain.headers["ratelimit-policy"] == '"api";q=3;w=60'
        counts = shop.service.binding("test").limits
        assert counts is not None
        assert counts.of(limit.spec.name).counts.denied == 2 + 4 + 2 + 2
