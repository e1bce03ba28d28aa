"""The stack behind the real server: what arrives at a client over a socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.websockets import WebSocket

from roadworthy import Service, seconds
from roadworthy.binding import Binding
from roadworthy.catalogue import catalogue
from roadworthy.http.stack import Stack, install
from roadworthy.runtime.web import serving
from roadworthy.telemetry import logging
from roadworthy.telemetry.registry import MetricRegistry


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{id}")
    async def item(id: int) -> dict[str, int]:
        return {"id": id}

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("hunter2")

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"x" * 1024
            raise RuntimeError("hunter2")

        return StreamingResponse(body(), headers={"content-length": "4096"})

    @app.get("/forever")
    async def forever() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            while True:
                yield b"data: x\n\n"
                await asyncio.sleep(0.01)

        return StreamingResponse(body(), media_type="text/event-stream")

    @app.websocket("/talk")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive()
        raise RuntimeError("hunter2")

    return app


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


@asynccontextmanager
async def served(listener: socket.socket) -> AsyncIterator[tuple[Stack, MetricRegistry, httpx.AsyncClient]]:
    service = Service("tested", version="1.0.0")
    stack = install(application(), service)
    metrics = MetricRegistry(catalogue(service.spec))
    unused: Any = None
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with (
        service.bind(Binding(unused, unused, metrics)),
        serving(stack, listener, grace=seconds(5)),
        httpx.AsyncClient(base_url=address, timeout=60) as client,
    ):
        yield stack, metrics, client


async def counted(metrics: MetricRegistry, route: str, status: str) -> float | None:
    """Return the count once it is there: a client may have its last byte before the server counts."""
    labels = {"method": "GET", "route": route, "status": status}
    for _ in range(500):
        if metrics.value("http_requests_total", labels):
            break
        await asyncio.sleep(0.01)
    return metrics.value("http_requests_total", labels)


async def test_a_request_over_a_socket(listener: socket.socket) -> None:
    async with served(listener) as (_, metrics, client):
        response = await client.get("/items/7", headers={"x-request-id": "r-7"})
        assert response.json() == {"id": 7}
        assert response.headers["x-request-id"] == "r-7"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers.get_list("server") == [""]
        assert await counted(metrics, "/items/{id}", "200") == 1


async def test_an_error_over_a_socket(listener: socket.socket) -> None:
    async with served(listener) as (_, metrics, client):
        response = await client.get("/boom")
        assert response.status_code == 500
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["referrer-policy"] == "same-origin"
        assert "hunter2" not in response.text
        assert await counted(metrics, "/boom", "500") == 1


async def test_a_response_that_breaks_off_is_not_taken_for_whole_and_logged_once(
    listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    with structlog.testing.capture_logs() as lines:
        async with served(listener) as (_, metrics, client):
            with pytest.raises(httpx.HTTPError):
                await client.get("/half")
            assert await counted(metrics, "/half", "500") == 1
    assert [line["path"] for line in lines if line["event"] == "unhandled exception"] == ["/half"]
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")] == []


async def test_a_websocket_that_fails_is_logged_once_with_its_ids(
    listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    masked_hi = b"\x81\x82\x00\x00\x00\x00hi"
    with structlog.testing.capture_logs(processors=[logging._in_context]) as lines:
        async with served(listener), asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET /talk HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
            writer.write(b"X-Request-ID: w-1\r\n" + key + b"\r\n" + masked_hi)
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 101")
    (failure,) = (line for line in lines if line["event"] == "unhandled exception")
    assert (failure["path"], failure["request_id"]) == ("/talk", "w-1")
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")] == []


async def test_a_listener_that_leaves_is_counted_and_let_go(listener: socket.socket) -> None:
    async with served(listener) as (stack, metrics, client):
        async with client.stream("GET", "/forever") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert metrics.value("http_requests_in_progress") in (None, 0, 1)
        assert await counted(metrics, "/forever", "499") == 1
        for _ in range(500):
            if not stack.drain.in_flight:
                break
            await asyncio.sleep(0.01)
        assert stack.drain.in_flight == 0


async def test_an_event_stream_does_not_hold_up_a_stop(listener: socket.socket) -> None:
    async with served(listener) as (stack, metrics, client):
        async with client.stream("GET", "/forever") as response:
            stack.drain.start()
            body = b"".join([part async for part in response.aiter_bytes()])
        assert body.endswith(b"data: x\n\n")
        assert await counted(metrics, "/forever", "200") == 1


async def test_probes_head_and_metrics_on_the_main_port(listener: socket.socket) -> None:
    async with served(listener) as (_, _, client):
        assert (await client.get("/livez")).json() == {"status": "pass"}
        head = await client.head("/readyz")
        assert (head.status_code, head.content) == (200, b"")
        assert (await client.get("/metrics")).status_code == 404


async def test_a_drain_closes_connections(listener: socket.socket) -> None:
    async with served(listener) as (stack, _, client):
        assert "connection" not in (await client.get("/items/1")).headers
        stack.drain.start()
        response = await client.get("/items/1")
        assert (response.status_code, response.headers["connection"]) == (200, "close")
        assert (await client.get("/readyz")).status_code == 503
