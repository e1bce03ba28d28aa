"""A service with a limit for each way to do without the store, and what its requests wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

from roadworthy import Service
from roadworthy.limits import metrics
from roadworthy.limits.decision import Decision
from roadworthy.limits.limiter import Limiter
from roadworthy.runtime import limiting
from roadworthy.telemetry.registry import MetricRegistry

TIMEOUT = 0.02
PATIENT = 2.0
"""The time-out of those that do not test it."""
NAMES = ("allowing", "denying", "sharing")
GENEROUS = 40
"""How many times as long as declared a busy machine may take; that is less than thirty time-outs one after another."""
PATIENCE = 60.0


class Limited:
    """The limits of one process of the service."""

    def __init__(self, limiters: Sequence[Limiter], registry: MetricRegistry) -> None:
        self.limiters = {limiter.spec.name: limiter for limiter in limiters}
        self._registry = registry

    @property
    def up(self) -> bool:
        """What the process says of its store."""
        return self._registry.value("limit_store_up") == 1

    async def check(self, name: str, key: str = "somebody") -> tuple[Decision, float]:
        """Ask a limit; return how long that took as well."""
        began = time.monotonic()
        decision = await self.limiters[name].check(key)
        return decision, time.monotonic() - began

    async def is_as_declared(self) -> None:
        """See that the store is not asked, that nobody waits for anything, and that `on_error` is what happens."""
        loop, turns = asyncio.get_running_loop(), 0

        def count() -> None:
            nonlocal turns
            turns += 1

        loop.call_soon(count)
        for number in range(200):
            for name in NAMES:
                decision, _ = await self.check(name, f"new {time.monotonic()} {number}")
                assert decision.source == "on_error"
                assert decision.admitted == (name != "denying")
                assert (decision.retry_after > 0) == (name == "denying")
        assert turns == 0

    async def fails_within_one_time_out(self) -> None:
        """Have many ask at once what does not answer."""
        asked = [asyncio.create_task(self.check(name, str(number))) for number in range(30) for name in NAMES]
        answers = await asyncio.gather(*asked)
        assert all(decision.source == "on_error" for decision, _ in answers)
        assert all(decision.admitted == (decision.limit != "denying") for decision, _ in answers)
        assert max(took for _, took in answers) < GENEROUS * 0.025
        assert not self.up

    async def is_missed(self) -> None:
        """Wait until the store is found to be gone."""
        async with asyncio.timeout(PATIENCE):
            while (await self.check("allowing", f"now {time.monotonic()}"))[0].source == "store":
                await asyncio.sleep(0.01)

    async def recovers(self) -> None:
        """Wait until each limit is decided by the store again, with no help."""
        async with asyncio.timeout(PATIENCE):
            for name in NAMES:
                while (await self.check(name, f"again {time.monotonic()}"))[0].source != "store" or not self.up:
                    await asyncio.sleep(0.01)


@asynccontextmanager
async def limited(
    *, dsn: str | None = None, redis_url: str | None = None, timeout: float = TIMEOUT
) -> AsyncIterator[Limited]:
    """Open a process of the service."""
    service = Service("shop", version="1.0.0", owner="tests")
    service.database()
    for name, on_error in zip(NAMES, ("allow", "deny", "local"), strict=True):
        # Nothing is taken ahead, so that every question of a new key goes to the store.
        service.limit(
            name, "1000/minute", on_error=on_error, by=None, lease=0, store_timeout=timedelta(seconds=timeout)
        )
    registry = MetricRegistry(metrics.CATALOGUE, service="shop")
    async with limiting.opened(service.spec, dsn, redis_url, registry) as limiters:
        yield Limited(list(limiters.all.values()), registry)


@contextmanager
def loop_runs() -> Iterator[None]:
    """See that the event loop is never held up within a `with`."""
    loop = asyncio.get_running_loop()
    longest, last = 0.0, loop.time()

    def look() -> None:
        nonlocal longest, last, handle
        now = loop.time()
        longest, last = max(longest, now - last), now
        handle = loop.call_later(0.001, look)

    handle = loop.call_soon(look)
    try:
        yield
    finally:
        handle.cancel()
    assert longest < GENEROUS * 0.02, f"the loop was held up for {longest:.3f} s"
