from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def test_readiness_fails_first_and_requests_are_still_answered(serve: Any) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            entered.set()
            await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async with serve(app) as running:
        drain = running.stack.drain
        before = await running.client.get("/")
        assert "connection" not in before.headers
        assert (await running.client.get("/readyz")).status_code == 200

        async with asyncio.TaskGroup() as group:
            slow = group.create_task(running.client.get("/slow"))
            await entered.wait()
            drain.start()
            assert drain.in_flight == 1
            assert (await running.client.get("/readyz")).status_code == 503
            assert (await running.client.get("/livez")).status_code == 200
            late = await running.client.get("/")
            assert (late.text, late.headers["connection"]) == ("ok", "close")
            release.set()
        assert slow.result().headers["connection"] == "close"
        assert drain.in_flight == 0


async def test_http_2_has_no_connection_header(serve: Any) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    async with serve(app) as running:
        running.stack.drain.start()
        for version in ("2", "1.1", "1.0"):
            scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "http_version": version}
            await running.stack(scope, None, send)
    assert [b"connection" in dict(message["headers"]) for message in sent] == [False, True, True]


async def test_a_request_that_fails_is_counted_out(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    async with serve(app) as running:
        await running.client.get("/")
        assert running.stack.drain.in_flight == 0


class Browser:
    """A client of one request: what it was sent, and its part of the ASGI conversation."""

    def __init__(self, path: str = "/") -> None:
        self.scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [],
            "http_version": "1.1",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
        }
        self.messages: list[Any] = []
        self.reading = asyncio.Event()

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send(self, message: Any) -> None:
        self.messages.append(message)
        if message.get("body"):
            self.reading.set()


async def endless(request: Request) -> StreamingResponse:
    async def body() -> Any:
        yield "data: 1\n\n"
        await asyncio.Event().wait()

    return StreamingResponse(body(), media_type=f"text/{request.path_params['kind']}")


async def test_a_drain_ends_event_streams_as_whole_responses(serve: Any) -> None:
    async with serve(Starlette(routes=[Route("/{kind}", endless)])) as running:
        browser = Browser("/event-stream")
        request = asyncio.create_task(running.stack(browser.scope, browser.receive, browser.send))
        async with asyncio.timeout(60):
            await browser.reading.wait()
            running.stack.drain.start()
            await request
        assert [message.get("more_body", False) for message in browser.messages[1:]] == [True, False]
        assert running.counted() == {("GET", "/{kind}", "200"): 1}
        assert running.stack.drain.in_flight == 0

        late = Browser("/event-stream")
        async with asyncio.timeout(60):
            await running.stack(late.scope, late.receive, late.send)
        assert late.messages[-1] == {"type": "http.response.body", "body": b""}


async def test_a_drain_leaves_other_streams_to_finish(serve: Any) -> None:
    async with serve(Starlette(routes=[Route("/{kind}", endless)])) as running:
        browser = Browser("/plain")
        request = asyncio.create_task(running.stack(browser.scope, browser.receive, browser.send))
        async with asyncio.timeout(60):
            await browser.reading.wait()
            running.stack.drain.start()
            assert not (await asyncio.wait([request], timeout=0.05))[0]
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request


async def test_who_else_cancels_a_stream_has_it_cancelled(serve: Any) -> None:
    async with serve(Starlette(routes=[Route("/{kind}", endless)])) as running:
        browser = Browser("/event-stream")
        request = asyncio.create_task(running.stack(browser.scope, browser.receive, browser.send))
        async with asyncio.timeout(60):
            await browser.reading.wait()
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
        assert browser.messages[-1]["more_body"]
