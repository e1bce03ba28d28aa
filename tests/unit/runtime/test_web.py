from __future__ import annotations

import asyncio
import sys
from typing import Any

import httpx
import pytest
import structlog

from roadworthy import seconds
from roadworthy.errors import MissingExtra, RoadworthyError
from roadworthy.runtime.listener import address, listen
from roadworthy.runtime.web import serving


class App:
    """An application that notes what happens to it."""

    def __init__(self, *, startup: str = "complete", shutdown: str = "complete") -> None:
        self.events: list[str] = []
        self.begun = asyncio.Event()
        self._startup = startup
        self._shutdown = shutdown

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        self.begun.set()
        self.events.append(f"request {scope['state'].get('color')}")
        try:
            await asyncio.sleep(float(scope["path"][1:] or 0))
        except asyncio.CancelledError:
            self.events.append("cut short")
            raise
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def _live(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        for phase in (self._startup, self._shutdown):
            event = (await receive())["type"]
            self.events.append(event)
            if phase == "raise":
                raise RuntimeError("no lifespan here")
            if phase == "hang":
                await asyncio.sleep(600)
            scope["state"]["color"] = "green"
            await send({"type": f"{event}.{phase}", "message": "the licence ran out"})


async def test_startup_precedes_requests_and_shutdown_follows_them() -> None:
    app = App()
    with listen("127.0.0.1", 0, "PORT") as listener:
        async with httpx.AsyncClient() as client:
            async with serving(app, listener, grace=seconds(20)):
                request = asyncio.create_task(client.get(f"{address(listener)}/0.3"))
                await app.begun.wait()
            assert (await request).text == "ok"
    assert app.events == ["lifespan.startup", "request green", "lifespan.shutdown"]


async def test_what_is_still_under_way_after_the_grace_is_cut_short() -> None:
    app = App()
    with listen("127.0.0.1", 0, "PORT") as listener:
        async with httpx.AsyncClient() as client:
            async with serving(app, listener, grace=seconds(0.1)):
                request = asyncio.create_task(client.get(f"{address(listener)}/600"))
                await app.begun.wait()
            with pytest.raises((httpx.TransportError, AssertionError)):
                assert (await request).status_code == 200
    assert app.events == ["lifespan.startup", "request green", "cut short", "lifespan.shutdown"]


async def test_an_application_without_a_lifespan_is_served() -> None:
    app = App()

    async def requests(scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "no lifespan here"
        await app(scope, receive, send)

    with structlog.testing.capture_logs() as lines, listen("127.0.0.1", 0, "PORT") as listener:
        async with serving(requests, listener, grace=seconds(5)), httpx.AsyncClient() as client:
            assert (await client.get(address(listener))).text == "ok"
    assert app.events == ["request None"]
    assert [line["log_level"] for line in lines] == ["debug"]


@pytest.mark.parametrize("phase", ["startup", "shutdown"])
async def test_a_lifespan_that_raises_is_an_error_in_the_log_and_ends_no_requests(phase: str) -> None:
    app = App(**{phase: "raise"})
    with structlog.testing.capture_logs() as lines, listen("127.0.0.1", 0, "PORT") as listener:
        async with serving(app, listener, grace=seconds(5)), httpx.AsyncClient() as client:
            assert (await client.get(address(listener))).text == "ok"
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("the application's lifespan failed", "error")
    assert line["during"] == phase
    assert line["exc_info"]


async def test_a_shutdown_that_fails_is_an_error_in_the_log() -> None:
    app = App(shutdown="failed")
    with structlog.testing.capture_logs() as lines, listen("127.0.0.1", 0, "PORT") as listener:
        async with serving(app, listener, grace=seconds(5)):
            pass
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("the application failed to shut down", "error")
    assert line["reason"] == "the licence ran out"


async def test_an_application_that_fails_to_start_is_an_error_with_its_reason() -> None:
    app = App(startup="failed")
    with listen("127.0.0.1", 0, "PORT") as listener, pytest.raises(RoadworthyError, match="the licence ran out"):
        async with serving(app, listener, grace=seconds(5)):
            pass
    assert app.events == ["lifespan.startup"]


async def test_a_shutdown_that_never_ends_is_given_up() -> None:
    app = App(shutdown="hang")
    with listen("127.0.0.1", 0, "PORT") as listener, pytest.raises(RoadworthyError, match="did not answer lifespan"):
        async with serving(app, listener, grace=seconds(0.1)):
            pass


async def test_without_granian_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "granian.server.embed", None)
    with listen("127.0.0.1", 0, "PORT") as listener, pytest.raises(MissingExtra, match=r"roadworthy\[server\]"):
        async with serving(App(), listener, grace=seconds(5)):
            pass
