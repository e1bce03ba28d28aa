from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from roadworthy import Service
from roadworthy.http.shedding import Shedding
from roadworthy.http.stack import Stack, install
from roadworthy.resilience.shedding import Priority


def shedding(stack: Stack) -> Shedding:
    return stack._shedding


class Held:
    """An application whose requests are under way until they are let go."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.begun = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun += 1
        await self.release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def hold(self, client: Any, count: int, group: asyncio.TaskGroup) -> list[asyncio.Task[Any]]:
        before = self.begun
        held = [group.create_task(client.get("/held")) for _ in range(count)]
        for _ in range(1000):
            if self.begun == before + count:
                break
            await asyncio.sleep(0)
        assert self.begun == before + count
        return held


@pytest.fixture
def service() -> Service:
    service = Service("tested")
    service.shedding(critical=["GET /vital"], low=["POST /report"], initial=4)
    return service


async def test_what_finds_no_room_is_turned_away_with_a_problem(serve: Any, service: Service) -> None:
    app = Held()
    async with serve(app, service) as running, asyncio.TaskGroup() as group:
        held = await app.hold(running.client, 4, group)
        refused = await running.client.get("/more")
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        document = refused.json()
        assert document["type"] == "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
        assert document["request_id"] == refused.headers["x-request-id"]
        assert 2 <= int(refused.headers["retry-after"]) <= 4
        assert refused.headers["cache-control"] == "no-store"
        assert (await running.client.head("/more")).content == b""
        for path in ("/livez", "/readyz", "/startupz", "/health"):
            assert (await running.client.get(path)).status_code == 200
        assert app.begun == 4
        app.release.set()
        for one in held:
            assert (await one).status_code == 200
        assert (await running.client.get("/more")).status_code == 200
        assert running.metrics.value("shedding_requests_total", {"priority": "read"}) == 2
        assert running.metrics.value("shedding_limit") == 4
        assert running.metrics.value("shedding_behind") == 0


async def test_who_waits_is_let_in_when_there_is_room_by_priority(serve: Any, service: Service) -> None:
    app = Held()
    async with serve(app, service) as running, asyncio.TaskGroup() as group:
        gate_of = shedding(running.stack)
        held = await app.hold(running.client, 4, group)
        assert gate_of.gate is not None
        # A request is usually a long one, so that waiting for one takes long.
        gate_of.gate.limit.usual = 60.0
        late = {
            "read": group.create_task(running.client.get("/other")),
            "low": group.create_task(running.client.post("/report")),
            "write": group.create_task(running.client.post("/other")),
            "vital": group.create_task(running.client.get("/vital")),
        }
        for _ in range(20):
            await asyncio.sleep(0)
        assert app.begun == 4
        app.release.set()
        assert [response.status_code for response in await asyncio.gather(*held, *late.values())] == [200] * 8


async def test_a_client_that_leaves_while_it_waits_holds_no_place(serve: Any, service: Service) -> None:
    app = Held()
    async with serve(app, service) as running, asyncio.TaskGroup() as group:
        held = await app.hold(running.client, 4, group)
        waiting = group.create_task(running.client.post("/other"))
        for _ in range(20):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        app.release.set()
        await asyncio.gather(*held)
        gate = shedding(running.stack).gate
        assert gate is not None
        assert gate.in_flight == 0


async def test_a_request_that_fails_gives_its_place_back(serve: Any, service: Service) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    async with serve(app, service) as running:
        for _ in range(10):
            assert (await running.client.get("/")).status_code == 500
        gate = shedding(running.stack).gate
        assert gate is not None
        assert gate.in_flight == 0


async def test_a_stream_of_events_is_not_under_way_for_as_long_as_it_lasts(service: Service) -> None:
    app = FastAPI()
    ended = asyncio.Event()

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"data: one\n\n"
            await ended.wait()

        return StreamingResponse(body(), media_type="text/event-stream")

    stack = install(app, service)
    began = asyncio.Event()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            began.set()

    async def receive() -> Any:
        await ended.wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/events",
        "query_string": b"",
        "headers": [],
        "asgi": {"version": "3.0", "spec_version": "2.4"},
    }
    async with asyncio.TaskGroup() as group:
        group.create_task(stack(scope, receive, send))
        await asyncio.wait_for(began.wait(), 60)
        gate = shedding(stack).gate
        assert gate is not None
        assert gate.in_flight == 0
        ended.set()
    assert gate.in_flight == 0


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
async def test_a_websockets_handshake_is_turned_away_too(
    serve: Any, service: Service, extensions: dict[str, Any]
) -> None:
    held = Held()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await held(scope, receive, send)

    async def connect(stack: Stack, path: str) -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": [], "extensions": extensions}
        await stack(scope, None, send)  # type: ignore[arg-type]
        return sent

    async with serve(app, service) as running, asyncio.TaskGroup() as group:
        assert await connect(running.stack, "/talk") == [{"type": "websocket.accept"}]
        await held.hold(running.client, 4, group)
        refused = await connect(running.stack, "/talk")
        if extensions:
            assert (refused[0]["type"], refused[0]["status"]) == ("websocket.http.response.start", 503)
        else:
            assert refused == [{"type": "websocket.close", "code": 1008}]
        assert await connect(running.stack, "/vital") == [{"type": "websocket.accept"}]
        assert shedding(running.stack).refused[Priority.READ] == 1
        held.release.set()


async def test_a_service_that_does_not_declare_it_turns_nobody_away(serve: Any) -> None:
    app = Held()
    async with serve(app) as running, asyncio.TaskGroup() as group:
        held = await app.hold(running.client, 100, group)
        app.release.set()
        assert {response.status_code for response in await asyncio.gather(*held)} == {200}
        assert shedding(running.stack).gate is None
