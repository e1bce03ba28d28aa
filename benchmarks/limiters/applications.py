"""One FastAPI application, bare and with each limiter as its documentation puts it in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pyrate_limiter as pyrate
import throttled.asyncio
from fastapi import Depends, FastAPI, Request
from fastapi_limiter.depends import RateLimiter
from redis.asyncio import Redis
from slowapi import Limiter as SlowLimiter
from slowapi import _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.middleware import SlowAPIASGIMiddleware, SlowAPIMiddleware
from throttled.asyncio.contrib import fastapi as throttled_fastapi

from benchmarks.http_applications import Application
from benchmarks.report import OURS
from roadworthy.binding import Binding
from roadworthy.http.stack import install
from roadworthy.limits import metrics as limits_metrics
from roadworthy.limits.guard import Guard
from roadworthy.limits.limiters import Limiters
from roadworthy.limits.redis import RedisStore
from roadworthy.service import Service
from roadworthy.telemetry.metrics import catalogue
from roadworthy.telemetry.registry import MetricRegistry

PER_MINUTE = 10_000_000
STACK = "our stack without a limit"
BARE = "limit: the bare application"

_RATE = f"{PER_MINUTE}/minute"
_STORE_TIMEOUT = timedelta(milliseconds=20)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def bare() -> FastAPI:
    """Return the application: one route, which says what number it was asked for."""
    app = FastAPI()

    @app.get("/items/{number}")
    async def item(number: int) -> dict[str, int]:
        return {"number": number}

    return app


@asynccontextmanager
async def stack(redis: str | None = None, *, limited: bool = True, **options: Any) -> AsyncIterator[Application]:
    """Yield it in our stack, with its limit or without."""
    service = Service("benchmark")
    if limited:
        service.limit("api", _RATE, routes=["*"], **options)
    registry = MetricRegistry((*catalogue(service.spec.request_buckets), *limits_metrics.CATALOGUE))
    nothing: Any = None
    async with AsyncExitStack() as opened:
        store = None
        if redis is not None:
            connected = RedisStore.open(redis, name="benchmark", timeout=_STORE_TIMEOUT)
            store = Guard(await opened.enter_async_context(connected), timeout=None)
            opened.push_async_callback(store.close)
        found = Limiters(service.name, service.spec.limits, store)
        limits_metrics.track(registry, found)
        app = install(bare(), service)
        await opened.enter_async_context(service.bind(Binding(nothing, nothing, registry, limits=found)))
        yield app


@asynccontextmanager
async def slowapi_decorator(redis: str | None = None) -> AsyncIterator[Application]:
    """Yield it with slowapi's decorator."""
    limiter = SlowLimiter(key_func=_address, storage_uri=redis)
    app = FastAPI()
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)  # type: ignore[arg-type]

    @app.get("/items/{number}")
    @limiter.limit(_RATE)
    async def item(request: Request, number: int) -> dict[str, int]:
        return {"number": number}

    yield app


def _slowapi(middleware: Any) -> Callable[..., Any]:
    @asynccontextmanager
    async def opened(redis: str | None = None) -> AsyncIterator[Application]:
        app = bare()
        app.state.limiter = SlowLimiter(key_func=_address, default_limits=[_RATE], storage_uri=redis)
        app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)  # type: ignore[arg-type]
        app.add_middleware(middleware)
        yield app

    return opened


@asynccontextmanager
async def fastapi_limiter(redis: str | None = None) -> AsyncIterator[Application]:
    """Yield it with fastapi-limiter, whose one bucket all clients share where none is made for each."""
    rates = [pyrate.Rate(PER_MINUTE, pyrate.Duration.MINUTE)]
    async with AsyncExitStack() as opened:
        state = None
        if redis is not None:
            client = Redis.from_url(redis)
            opened.push_async_callback(client.aclose)
            state = pyrate.RedisStateStore(client, "fastapi-limiter")
        limiter = pyrate.Limiter(pyrate.StateBucket(rates, algorithm=pyrate.GCRA(), store=state))
        app = FastAPI()

        @app.get("/items/{number}", dependencies=[Depends(RateLimiter(limiter=limiter))])
        async def item(number: int) -> dict[str, int]:
            return {"number": number}

        yield app


@asynccontextmanager
async def throttled_py(redis: str | None = None, *, headers: bool = False) -> AsyncIterator[Application]:
    """Yield it with throttled-py's decorator, and with `headers` its middleware, which tells what is left."""
    store = None if redis is None else throttled.asyncio.RedisStore(server=redis)
    quota = throttled.asyncio.per_min(PER_MINUTE)
    limiter = throttled_fastapi.Limiter(quota, store=store, using="gcra", key_func=_address)
    app = FastAPI()
    app.add_exception_handler(
        throttled_fastapi.RateLimitExceededError,
        throttled_fastapi.rate_limit_exceeded_handler,
    )
    if headers:
        app.add_middleware(throttled_fastapi.RateLimitMiddleware)

    @app.get("/items/{number}")
    @limiter.limit()
    async def item(request: Request, number: int) -> dict[str, int]:
        return {"number": number}

    yield app


@asynccontextmanager
async def throttled_py_with_headers(redis: str | None = None) -> AsyncIterator[Application]:
    """Yield it with both."""
    async with throttled_py(redis, headers=True) as app:
        yield app


LIMITED: dict[str, Callable[..., Any]] = {
    OURS: stack,
    "slowapi, decorator": slowapi_decorator,
    "slowapi, ASGI middleware": _slowapi(SlowAPIASGIMiddleware),
    "slowapi, middleware": _slowapi(SlowAPIMiddleware),
    "fastapi-limiter": fastapi_limiter,
    "throttled-py, decorator": throttled_py,
    "throttled-py, with headers": throttled_py_with_headers,
}
"""Opens the application with a limit, by whose it is; counting in memory, or in the Redis at a URL."""
