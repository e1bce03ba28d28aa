from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from fastapi import FastAPI

from roadworthy import RoadworthyError, Service
from roadworthy.binding import Binding
from roadworthy.catalogue import catalogue
from roadworthy.http.stack import install
from roadworthy.telemetry.registry import MetricRegistry


class Recorded(Service):
    """A service whose start and stop are events, and which may fail to start."""

    def __init__(self, events: list[str], error: Exception | None = None) -> None:
        super().__init__("tested")
        self.events = events
        self.error = error

    @asynccontextmanager
    async def running(self, settings: Any = None) -> AsyncIterator[Service]:  # type: ignore[override]
        if self.error is not None:
            raise self.error
        unused: Any = None
        async with self.bind(Binding(unused, unused, MetricRegistry(catalogue(self.spec)))):
            self.events.append("service started")
            try:
                yield self
            finally:
                self.events.append("service stopped")


async def live(stack: Any, events: list[str]) -> None:
    """Play a server that starts an application and then shuts it down."""
    incoming = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        kind = next(incoming)
        events.append(f"server: {kind}")
        return {"type": kind}

    async def send(message: Any) -> None:
        events.append(message["type"] + (f": {message['message']}" if message.get("message") else ""))

    await stack({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)


def framework(events: list[str], stack: list[Any]) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        events.append(f"app starts, {await stack[0].health.ready()}")
        yield
        events.append("app stops")

    return FastAPI(lifespan=lifespan)


async def test_the_service_runs_around_the_application() -> None:
    events: list[str] = []
    holder: list[Any] = []
    stack = install(framework(events, holder), Recorded(events))
    holder.append(stack)
    await live(stack, events)
    assert events == [
        "server: lifespan.startup",
        "service started",
        "app starts, fail",
        "lifespan.startup.complete",
        "server: lifespan.shutdown",
        "app stops",
        "service stopped",
        "lifespan.shutdown.complete",
    ]
    assert await stack.health.ready() == "fail"


async def test_a_service_that_somebody_runs_is_left_to_them() -> None:
    events: list[str] = []
    holder: list[Any] = []
    service = Recorded(events)
    stack = install(framework(events, holder), service)
    holder.append(stack)
    async with service.running():
        await live(stack, events)
        assert await stack.health.ready() == "pass"
    assert events[0] == "service started"
    assert events[-2:] == ["lifespan.shutdown.complete", "service stopped"]
    assert events.count("service started") == 1


async def refuses(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


async def ignores(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404})


async def leaves_early(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})


@pytest.mark.parametrize("app", [refuses, ignores, leaves_early])
async def test_an_application_without_a_lifespan(app: Any) -> None:
    events: list[str] = []
    await live(install(app, Recorded(events)), events)
    assert events == [
        "server: lifespan.startup",
        "service started",
        "lifespan.startup.complete",
        "server: lifespan.shutdown",
        "service stopped",
        "lifespan.shutdown.complete",
    ]


async def test_a_service_that_does_not_start_says_why() -> None:
    events: list[str] = []
    stack = install(refuses, Recorded(events, RoadworthyError("no database")))
    with structlog.testing.capture_logs() as lines:
        await live(stack, events)
    assert events == ["server: lifespan.startup", "lifespan.startup.failed: no database"]
    assert [line["event"] for line in lines] == ["service did not start"]


async def test_an_application_that_does_not_start_stops_the_service() -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        raise ValueError("no")
        yield

    with pytest.raises(ValueError, match="no"):
        await live(install(FastAPI(lifespan=lifespan), Recorded(events)), events)
    assert events[0:2] == ["server: lifespan.startup", "service started"]
    assert events[2].startswith("lifespan.startup.failed")
    assert events[3:] == ["service stopped"]


async def test_an_application_that_says_it_failed_and_returns() -> None:
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "not today"})

    await live(install(app, Recorded(events)), events)
    assert events[-2:] == ["lifespan.startup.failed: not today", "service stopped"]


async def test_an_application_that_fails_to_shut_down_stops_the_service_all_the_same() -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        raise ValueError("no")

    with structlog.testing.capture_logs() as lines:
        await live(install(FastAPI(lifespan=lifespan), Recorded(events)), events)
    assert events[-2] == "service stopped"
    assert events[-1].startswith("lifespan.shutdown.failed")
    assert [line["event"] for line in lines] == ["application did not shut down cleanly"]
