"""The applications that the HTTP benchmark compares: one does nothing, and stands bare, with ours or with a peer's."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from roadworthy.binding import Binding
from roadworthy.catalogue import catalogue
from roadworthy.http.caching import HTTPCache
from roadworthy.http.stack import Stack, install
from roadworthy.limits import metrics as limit_metrics
from roadworthy.limits.limiters import Limiters
from roadworthy.service import Service
from roadworthy.telemetry.registry import MetricRegistry

if TYPE_CHECKING:
    from starlette.requests import Request

Application = Callable[..., Awaitable[None]]

BARE = "limit: the bare application"
OURS = "roadworthy"
PEER = "prometheus-fastapi-instrumentator"

SUBJECTS = (BARE, OURS, PEER)
PATH = "/items/7"


def fastapi(other_routes: int = 0) -> FastAPI:
    """Return a FastAPI application with one route for `PATH`, after `other_routes` that do not match it."""
    app = FastAPI()

    async def other(number: int) -> dict[str, int]:
        return {"number": number}

    async def item(number: int) -> dict[str, int]:
        return {"number": number}

    for index in range(other_routes):
        app.get(f"/other{index}/{{number}}")(other)
    app.get("/items/{number}")(item)
    return app


def starlette() -> Starlette:
    """Return a Starlette application with the one route."""

    async def item(request: Request) -> JSONResponse:
        return JSONResponse({"number": int(request.path_params["number"])})

    return Starlette(routes=[Route("/items/{number}", item)])


class Measured(Service):
    """A service with metrics and limits in memory, and no database, which a benchmark of HTTP has no use for."""

    @asynccontextmanager
    async def running(self, settings: object = None) -> AsyncIterator[Service]:
        """Bind the metrics and the limits within an `async with`."""
        nothing: Any = None
        metrics = MetricRegistry(catalogue(self.spec))
        limiters = Limiters(self.name, self.spec.limits)
        limit_metrics.track(metrics, limiters)
        async with self.bind(Binding(nothing, nothing, metrics, limits=limiters)):
            yield self


def with_ours(app: Application, caching: Callable[[Application], HTTPCache] | None = None) -> Stack:
    """Return `app` in our whole stack, its metrics counted as in production once its service runs."""
    return install(app, Measured("benchmark", version="1.0.0"), caching=caching)


def with_everything(app: Application) -> Stack:
    """Return `app` in our stack, with a rate limit by address on all routes and load shedding too."""
    service = Measured("benchmark", version="1.0.0")
    service.limit("api", "1000000/second", by="address", routes=["*"])
    service.shedding()
    return install(app, service)


def with_peer(app: FastAPI | Starlette) -> Application:
    """Return `app` with the peer's metrics, as its documentation sets them up."""
    Instrumentator(registry=CollectorRegistry()).instrument(cast("FastAPI", app))
    return app


def variants(make: Callable[[], FastAPI | Starlette]) -> dict[str, Application]:
    """Return the application that `make` makes, bare, with ours and with the peer's."""
    return {BARE: make(), OURS: with_ours(make()), PEER: with_peer(make())}


def whole_variants(make: Callable[[], FastAPI | Starlette]) -> dict[str, Application]:
    """Return the same with everything that a service can declare for all its requests."""
    return {BARE: make(), OURS: with_everything(make()), PEER: with_peer(make())}


def served() -> Application:
    """Return the application that a benchmark's server process is to serve."""
    return variants(fastapi)[os.environ["BENCHMARK_SUBJECT"]]
