"""Rate limiters, each as the library's own call for a key, and how to read what that returns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import limits.aio.storage
import limits.aio.strategies
import limits.strategies
import pyrate_limiter as pyrate
import throttled
import throttled.asyncio
from aiolimiter import AsyncLimiter
from limits.storage import MemoryStorage
from redis.asyncio import Redis

import limits
from benchmarks.report import OURS
from roadworthy.handles.limit import RateLimit
from roadworthy.limits.guard import Guard
from roadworthy.limits.limiters import Limiters
from roadworthy.limits.metrics import CATALOGUE, track
from roadworthy.limits.redis import RedisStore
from roadworthy.limits.store import Store
from roadworthy.service import Service
from roadworthy.telemetry.registry import MetricRegistry

EACH_ASKED = "each asked"
TIMEOUT = timedelta(seconds=5)
"""For loads that leave the event loop no time: how long a request waits is measured elsewhere."""

_WINDOWS = {
    "limits, fixed window": "FixedWindowRateLimiter",
    "limits, sliding window counter": "SlidingWindowCounterRateLimiter",
    "limits, moving window": "MovingWindowRateLimiter",
}


@dataclass(frozen=True, slots=True)
class Decider:
    """One that is awaited: `admitted(await call(key))`. Nothing of the benchmark's own is between, where it can be."""

    call: Callable[[str], Awaitable[Any]]
    admitted: Callable[[Any], bool] = bool


@dataclass(frozen=True, slots=True)
class DeciderNow:
    """One that is called: `admitted(call(key))`."""

    call: Callable[[str], Any]
    admitted: Callable[[Any], bool] = bool


class Bound:
    """As much of a service's binding as a limit asks for."""

    def __init__(self, found: Limiters) -> None:
        self.limits = found


def ours(per_minute: int, keys: int, store: Store | None = None, **options: Any) -> RateLimit:
    """Return the handle of a limit that counts, with its metrics, as in a service that runs."""
    service = Service("benchmark")
    limit = service.limit("api", f"{per_minute}/minute", keys=keys, **options)
    found = Limiters(service.name, service.spec.limits, store)
    track(MetricRegistry(CATALOGUE), found)
    service._binding = Bound(found)  # type: ignore[assignment]
    return limit


def in_memory(per_minute: int, keys: int) -> dict[str, Decider]:
    """Return those that are awaited, counting in memory."""
    found = {OURS: Decider(ours(per_minute, keys).check, _admitted)}
    item = limits.RateLimitItemPerMinute(per_minute)
    for name, strategy in _WINDOWS.items():
        hit = getattr(limits.aio.strategies, strategy)(limits.aio.storage.MemoryStorage()).hit
        found[name] = Decider(partial(hit, item))
    memory = throttled.asyncio.MemoryStore(options={"MAX_SIZE": keys})
    quota = throttled.asyncio.per_min(per_minute)
    one = throttled.asyncio.Throttled(using="gcra", quota=quota, store=memory)
    found["throttled-py, gcra"] = Decider(one.limit, _not_limited)
    keyed = pyrate.Limiter(_ByKey(lambda _: pyrate.StateBucket([_rate(per_minute)], algorithm=pyrate.GCRA())))
    found["pyrate-limiter, gcra"] = Decider(partial(keyed.try_acquire_async, blocking=False))
    found["aiolimiter"] = Decider(_leaky(per_minute))
    return found


def in_memory_now(per_minute: int, keys: int) -> dict[str, DeciderNow]:
    """Return those that are called, counting in memory; ours is what the HTTP stack calls."""
    found = {OURS: DeciderNow(ours(per_minute, keys).open.quick, _admitted)}
    item = limits.RateLimitItemPerMinute(per_minute)
    for name, strategy in _WINDOWS.items():
        found[name] = DeciderNow(partial(getattr(limits.strategies, strategy)(MemoryStorage()).hit, item))
    store = throttled.MemoryStore(options={"MAX_SIZE": keys})
    one = throttled.Throttled(using="gcra", quota=throttled.per_min(per_minute), store=store)
    found["throttled-py, gcra"] = DeciderNow(one.limit, _not_limited)
    keyed = pyrate.Limiter(_ByKey(lambda _: pyrate.StateBucket([_rate(per_minute)], algorithm=pyrate.GCRA())))
    found["pyrate-limiter, gcra"] = DeciderNow(partial(keyed.try_acquire, blocking=False))
    return found


@asynccontextmanager
async def over_redis(url: str, per_minute: int, keys: int) -> AsyncIterator[dict[str, Decider]]:
    """Yield those that count in the Redis at `url`."""
    async with AsyncExitStack() as stack:
        found: dict[str, Decider] = {}
        for name, options in ((OURS, {}), (EACH_ASKED, {"lease": 0})):
            store = await stack.enter_async_context(RedisStore.open(url, name="benchmark", timeout=TIMEOUT))
            limit = ours(per_minute, keys, Guard(store, timeout=None), **options)
            found[name] = Decider(limit.check, _admitted)
        storage = limits.aio.storage.RedisStorage(f"async+{url}", implementation="redispy")
        for name, strategy in _WINDOWS.items():
            # Each keeps another thing under a key.
            item = limits.RateLimitItemPerMinute(per_minute, namespace=strategy)
            found[name] = Decider(partial(getattr(limits.aio.strategies, strategy)(storage).hit, item))
        shared = throttled.asyncio.RedisStore(server=url)
        one = throttled.asyncio.Throttled(using="gcra", quota=throttled.asyncio.per_min(per_minute), store=shared)
        found["throttled-py, gcra"] = Decider(one.limit, _not_limited)
        client = Redis.from_url(url)
        stack.push_async_callback(client.aclose)

        def bucket(key: str) -> Any:
            state = pyrate.RedisStateStore(client, f"pyrate:{key}")
            return pyrate.StateBucket([_rate(per_minute)], algorithm=pyrate.GCRA(), store=state)

        keyed = pyrate.Limiter(_ByKey(bucket))
        found["pyrate-limiter, gcra"] = Decider(partial(keyed.try_acquire_async, blocking=False))
        yield found


def _admitted(decision: Any) -> bool:
    return bool(decision.admitted)


def _not_limited(result: Any) -> bool:
    return not result.limited


def _rate(per_minute: int) -> Any:
    return pyrate.Rate(per_minute, pyrate.Duration.MINUTE)


class _ByKey(pyrate.BucketFactory):
    """A bucket for each key, as its documentation has one write it."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make
        self._buckets: dict[str, Any] = {}

    def wrap_item(self, name: str, weight: int = 1) -> Any:
        bucket = self._bucket(name)
        return pyrate.RateItem(name, bucket.now(), weight=weight)

    def get(self, item: Any) -> Any:
        return self._bucket(item.name)

    def _bucket(self, name: str) -> Any:
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = self._make(name)
        return bucket


def _leaky(per_minute: int) -> Callable[[str], Awaitable[bool]]:
    """Return its call with a bucket for each key, which it knows none of; a full one is not asked, as it would wait."""
    buckets: dict[str, AsyncLimiter] = {}

    async def decide(key: str) -> bool:
        bucket = buckets.get(key)
        if bucket is None:
            bucket = buckets[key] = AsyncLimiter(per_minute, 60)
        if not bucket.has_capacity():
            return False
        await bucket.acquire()
        return True

    return decide
