"""Serve an ASGI application on a socket; the only module that knows granian.

The lifespan is ours, not granian's: it is under way before the first request is accepted and ends after the last one,
and an application that fails to start is an error instead of one that is served anyway.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

from roadworthy.errors import MissingExtra, RoadworthyError
from roadworthy.service import ASGIApp
from roadworthy.telemetry.logging import get_logger

_log = get_logger(__name__)

_BACKLOG = 1024
_CANCELLED_IN = 2.0
_START_TIMEOUT = 60.0


class WebServer:
    """An application that accepts requests."""

    def __init__(self, app: _Requests, listener: socket.socket) -> None:
        """Serve `app` on `listener`, which stays the caller's."""
        self._requests = app
        self._server = _server(app, listener)
        self._serving = asyncio.create_task(self._server.serve(), name="web server")

    async def ended(self) -> None:
        """Wait until the server ends by itself, which it should not."""
        await asyncio.wait([self._serving])

    async def stop(self, grace: timedelta) -> None:
        """Accept nothing more, and let the requests under way finish for at most `grace`."""
        self._server.stop()
        done, _ = await asyncio.wait([self._serving], timeout=grace.total_seconds())
        if not done:
            _log.warning("requests are cut short", requests=self._requests.cancel())
            await asyncio.wait([self._serving], timeout=_CANCELLED_IN)
            self._serving.cancel()
            await asyncio.wait([self._serving], timeout=_CANCELLED_IN)


@asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket, *, grace: timedelta) -> AsyncIterator[WebServer]:
    """Serve `app` on `listener` within an `async with`, at whose end requests under way have `grace` to finish.

    Raises:
        MissingExtra: granian is not installed.
        RoadworthyError: the application failed to start.
    """
    async with _lifespan(app, grace) as state:
        server = WebServer(_Requests(app, state), listener)
        try:
            yield server
        finally:
            await server.stop(grace)


def _server(app: ASGIApp, listener: socket.socket) -> Any:
    try:
        from granian._granian import SocketHolder
        from granian.constants import Interfaces
        from granian.log import LogLevels
        from granian.server.embed import Server
    except ImportError as error:
        raise MissingExtra("serving HTTP", "server") from error

    class OnListener(Server):
        """granian on a socket that is bound already, so that a restarted process keeps its port and its backlog."""

        def _init_shared_socket(self) -> None:
            self._shd = cast(Any, SocketHolder)(os.dup(listener.fileno()), False, _BACKLOG)

    return OnListener(
        app,
        interface=Interfaces.ASGINL,
        backlog=_BACKLOG,
        log_level=LogLevels.error,
        # Its lines go where every library's go, up to the root logger; but an exception the stack has logged already.
        log_dictconfig={
            "formatters": {},
            "handlers": {},
            "loggers": {"_granian": {"propagate": True}, "_granian.utils": {"filters": ["repeated"]}},
            "filters": {"repeated": {"()": _Repeated}},
        },
    )


class _Repeated(logging.Filter):
    """Leaves out that an application raised: the stack has logged it, with the ids of its request."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "Application callable raised an exception" not in record.getMessage()


class _Requests:
    """The application with its lifespan's state in each request's scope, and the requests under way known."""

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self._app = app
        self._state = state
        self._under_way: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._under_way.add(task)
        scope["state"] = self._state.copy()
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way.discard(task)

    def cancel(self) -> int:
        """Cancel the requests under way, and return how many those are."""
        for task in self._under_way:
            task.cancel()
        return len(self._under_way)


@asynccontextmanager
async def _lifespan(app: ASGIApp, grace: timedelta) -> AsyncIterator[dict[str, Any]]:
    """Run the application's start-up and at the end its shutdown; yield the state that its requests share."""
    state: dict[str, Any] = {}
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}

    heard: list[str] = []
    told: list[str] = []

    async def receive() -> dict[str, Any]:
        event = await events.get()
        heard.append(event["type"])
        return event

    async def send(message: dict[str, Any]) -> None:
        told.append(message["type"])
        await answers.put(message)

    async def run() -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            if not heard:
                # ASGI's way to have no lifespan.
                _log.debug("the application has no lifespan", error=repr(error))
            elif not told or not told[-1].endswith(".failed"):
                _log.exception("the application's lifespan failed", during=heard[-1].removeprefix("lifespan."))

    async def ask(event: str, timeout: float) -> dict[str, Any] | None:
        """Return the application's answer, None if it ends without one."""
        await events.put({"type": event})
        answer = asyncio.create_task(answers.get())
        try:
            done, _ = await asyncio.wait([answer, running], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answer.cancel()
        if not done:
            raise RoadworthyError(f"the application did not answer {event} within {timeout:g} s")
        return answer.result() if answer in done else None

    running = asyncio.create_task(run(), name="lifespan")
    try:
        started = await ask("lifespan.startup", _START_TIMEOUT)
        if started is not None and started["type"] != "lifespan.startup.complete":
            raise RoadworthyError(f"the application failed to start: {started.get('message') or 'it gave no reason'}")
        yield state
        if not running.done():
            ended = await ask("lifespan.shutdown", max(grace.total_seconds(), _CANCELLED_IN))
            if ended is not None and ended["type"] == "lifespan.shutdown.failed":
                _log.error("the application failed to shut down", reason=ended.get("message") or "it gave none")
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=_CANCELLED_IN)
