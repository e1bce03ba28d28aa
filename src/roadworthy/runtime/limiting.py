"""Open a service's rate limits: the store that its processes share, and what stands on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING

from roadworthy.limits import metrics
from roadworthy.limits.guard import Guard
from roadworthy.limits.limiters import Limiters
from roadworthy.limits.spec import LimitSpec

if TYPE_CHECKING:
    from roadworthy.service import ServiceSpec
    from roadworthy.telemetry.registry import MetricRegistry


@asynccontextmanager
async def opened(
    spec: ServiceSpec, dsn: str | None, redis_url: str | None, registry: MetricRegistry, *, processes: int = 1
) -> AsyncIterator[Limiters]:
    """Serve the limits of `spec` within an `async with`.

    They are counted in the Redis at `redis_url`; else, where the service uses its database, in that at `dsn`; else in
    memory. A store that cannot be reached is no reason not to start. `processes` is how many share them.
    """
    async with _store(spec, dsn, redis_url) as store:
        limiters = Limiters(spec.name, spec.limits, store, processes=processes)
        metrics.track(registry, limiters, lambda: store is None or store.up)
        try:
            yield limiters
        finally:
            limiters.close()


def _store(spec: ServiceSpec, dsn: str | None, redis_url: str | None) -> AbstractAsyncContextManager[Guard | None]:
    if spec.limits and redis_url is not None:
        return _redis(redis_url, f"roadworthy-{spec.name}-limits", _timeout(spec.limits))
    if spec.limits and dsn is not None and (spec.database is not None or spec.queues):
        return _postgres(dsn, _timeout(spec.limits))
    return nullcontext()


@asynccontextmanager
async def _redis(url: str, name: str, timeout: timedelta) -> AsyncIterator[Guard]:
    # An extra, which who sets no REDIS_URL need not have installed.
    from roadworthy.limits.redis import RedisStore

    async with RedisStore.open(url, name=name, timeout=timeout) as store:
        guard = Guard(store, timeout=None)
        try:
            yield guard
        finally:
            await guard.close()


@asynccontextmanager
async def _postgres(dsn: str, timeout: timedelta) -> AsyncIterator[Guard]:
    from roadworthy.limits.postgres import PostgresStore

    async with PostgresStore.open(dsn, timeout=timeout) as store:
        guard = Guard(store, timeout=timeout.total_seconds())
        try:
            yield guard
        finally:
            await guard.close()


def _timeout(limits: Iterable[LimitSpec]) -> timedelta:
    """Return the time-out of calls: one connection serves all limits, so the most impatient decides."""
    return min(limit.store_timeout for limit in limits)
