"""Open a service's caches: the store that its processes share, and what stands on it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from roadworthy.cache import metrics
from roadworthy.cache.breaker import Breaker
from roadworthy.cache.caches import Caches
from roadworthy.cache.node import Node
from roadworthy.cache.spec import CacheSpec
from roadworthy.cache.stamp import NODES
from roadworthy.cache.store import Store

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool
    from roadworthy.service import ServiceSpec
    from roadworthy.telemetry.registry import MetricRegistry

_TIMEOUT = timedelta(milliseconds=250)


@asynccontextmanager
async def opened(
    spec: ServiceSpec, dsn: str | None, redis_url: str | None, pool: Pool, registry: MetricRegistry
) -> AsyncIterator[Caches]:
    """Serve the caches of `spec` within an `async with`.

    They are shared through the Redis at `redis_url`; else, where the service uses its database, through that at `dsn`.
    """
    node = random.randrange(NODES)  # nosec B311  # tells processes apart, no secret
    async with (
        _store(spec, dsn, redis_url, node) as store,
        Caches.open(spec.name, spec.caches, Node(store, node=node), pool) as caches,
    ):
        metrics.track(registry, caches)
        yield caches


@asynccontextmanager
async def _store(spec: ServiceSpec, dsn: str | None, redis_url: str | None, node: int) -> AsyncIterator[Store | None]:
    async with _shared(spec, dsn, redis_url, node) as store:
        if store is None:
            yield None
            return
        async with Breaker.before(store) as guarded:
            yield guarded


def _shared(
    spec: ServiceSpec, dsn: str | None, redis_url: str | None, node: int
) -> AbstractAsyncContextManager[Store | None]:
    shared = any("shared" in cache.tiers for cache in spec.caches)
    timeout = _timeout(spec.caches)
    if shared and redis_url is not None:
        return _redis(redis_url, service=spec.name, node=node, timeout=timeout)
    if shared and dsn is not None and (spec.database is not None or spec.queues):
        from roadworthy.cache.postgres import PostgresStore

        return PostgresStore.open(dsn, service=spec.name, node=node, timeout=timeout)
    return nullcontext()


@asynccontextmanager
async def _redis(url: str, **how: Any) -> AsyncIterator[Store]:
    # An extra, which who sets no REDIS_URL need not have installed.
    from roadworthy.cache.redis import RedisStore

    async with RedisStore.open(url, **how) as store:
        yield store


def _timeout(caches: Iterable[CacheSpec]) -> timedelta:
    """Return the time-out of exchanges: one connection serves all caches, so the most impatient decides."""
    return min((cache.store_timeout for cache in caches), default=_TIMEOUT)
