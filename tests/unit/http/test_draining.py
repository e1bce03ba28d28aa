from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from roadworthy import seconds


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
        assert await drain.idle(seconds(0))
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
            assert not await drain.idle(timedelta(milliseconds=1))
            idle = group.create_task(drain.idle(seconds(30)))
            await asyncio.sleep(0)
            release.set()
        assert idle.result() is True
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
