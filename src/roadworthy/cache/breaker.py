"""A breaker in front of a shared store: who has waited once for a store that is gone makes nobody else wait.

It opens at the first time-out or lost connection: those who wait then fail together, and everybody after them at once.
One probe at a time, after waits that grow, closes it. A store that answers, if only to refuse, leaves it closed.
"""

from __future__ import annotations

import asyncio
import random as randomness
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, cast

from roadworthy.cache.store import Change, Store, StoreDown, StoreRefused, Write
from roadworthy.telemetry.logging import get_logger
from roadworthy.waits import growing_waits

log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether the store is asked (closed) or not (open), since when (Unix time in seconds), and what opened it."""

    open: bool
    since: float
    why: str | None = None


class Breaker:
    """A `Store` that asks another one only while that answers. It belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        *,
        changed: Callable[[Condition], None] = lambda _: None,
        first_wait: float = 0.1,
        longest_wait: float = 5.0,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = randomness.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Stand before `store`; `changed` is told of each opening and closing.

        Before the probes pass `first_wait` seconds, then twice that, up to `longest_wait`, less a random half at most.
        A store that fails again within `longest_wait` goes on where the waits were. `clock` counts Unix time in
        seconds, `random` draws from 0 up to 1, `sleep` waits for seconds.
        """
        self._store = store
        self._changed = changed
        self._first, self._longest = first_wait, longest_wait
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._waits = growing_waits(first_wait, longest_wait, random)
        self._waiting: set[asyncio.Task[object]] = set()
        # Whom the opening has cancelled.
        self._failed: set[asyncio.Task[object]] = set()
        self._probe: asyncio.Task[None] | None = None
        self._why: str | None = None
        self.condition = Condition(False, clock())

    @classmethod
    @asynccontextmanager
    async def before(
        cls, store: Store, changed: Callable[[Condition], None] = lambda _: None
    ) -> AsyncIterator[Breaker]:
        """Stand before `store` within an `async with`, which closes it; `changed` is told of opening and closing."""
        breaker = cls(store, changed=changed)
        try:
            yield breaker
        finally:
            await breaker.close()

    async def get(self, name: str) -> bytes | None:
        """See `Store.get`."""
        # The hottest call does without being accounted for: stores let who waits for a value fail together.
        if self._why is not None:
            raise StoreDown(self._why)
        try:
            return await self._store.get(name)
        except StoreDown as error:
            self._fail(error)
            raise

    async def get_many(self, names: Sequence[str]) -> list[bytes | None]:
        """See `Store.get_many`."""
        return await self._ask(self._store.get_many, names)

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """See `Store.write`."""
        return await self._ask(self._store.write, writes)

    async def tag_stamps(self, tags: Sequence[str]) -> list[int]:
        """See `Store.tag_stamps`."""
        return await self._ask(self._store.tag_stamps, tags)

    async def invalidate(self, tags: Sequence[str], *, lifetime: float, stamp: int | None = None) -> int:
        """See `Store.invalidate`."""
        return await self._ask(self._store.invalidate, tags, lifetime=lifetime, stamp=stamp)

    async def names(self, prefix: str, pattern: str) -> AsyncIterator[list[str]]:
        """See `Store.names`."""
        batches = aiter(self._store.names(prefix, pattern))
        while (batch := await self._ask(anext, batches, None)) is not None:
            yield batch

    async def acquire(self, name: str, token: str, lease: float) -> bool:
        """See `Store.acquire`."""
        return await self._ask(self._store.acquire, name, token, lease)

    async def release(self, name: str, token: str) -> bool:
        """See `Store.release`."""
        return await self._ask(self._store.release, name, token)

    async def now(self) -> float:
        """See `Store.now`."""
        return await self._ask(self._store.now)

    def listening(
        self, changed: Callable[[Change], None], interrupted: Callable[[], None]
    ) -> AbstractAsyncContextManager[None]:
        """See `Store.listening`; it goes on whether the breaker is open or not."""
        return self._store.listening(changed, interrupted)

    async def close(self) -> None:
        """Stop probing, and close the store."""
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.cancel()
            await asyncio.wait([probe], timeout=1)
        await self._store.close()

    async def _ask(self, call: Callable[P, Awaitable[T]], *arguments: P.args, **options: P.kwargs) -> T:
        if self._why is not None:
            raise StoreDown(self._why)
        task = cast(asyncio.Task[object], asyncio.current_task())
        self._waiting.add(task)
        try:
            return await call(*arguments, **options)
        except StoreDown as error:
            self._waiting.discard(task)
            self._fail(error)
            raise
        except asyncio.CancelledError:
            if task in self._failed and task.cancelling() == 1:
                raise StoreDown(self.condition.why or "the store did not answer") from None
            raise
        finally:
            self._waiting.discard(task)
            if task in self._failed:
                self._failed.discard(task)
                task.uncancel()

    def _fail(self, error: StoreDown) -> None:
        if self._why is not None or isinstance(error, StoreRefused):
            return
        why, now = str(error), self._clock()
        if now - self.condition.since > self._longest:
            self._waits = growing_waits(self._first, self._longest, self._random)
        self._why = why
        self.condition = Condition(True, now, why)
        for task in self._waiting:
            if not task.cancelling():
                self._failed.add(task)
                task.cancel()
        self._probe = asyncio.get_running_loop().create_task(self._probe_until_answered(), name="store probe")
        log.warning("the shared store is not asked until it answers again", reason=why)
        self._changed(self.condition)

    async def _probe_until_answered(self) -> None:
        while True:
            await self._sleep(next(self._waits))
            try:
                await self._store.now()
            except StoreRefused:
                break
            except StoreDown as error:
                self._why = str(error)
            except Exception:
                log.exception("the shared store could not be probed")
            else:
                break
        opened = self.condition.since
        self._why, self._probe = None, None
        self.condition = Condition(False, self._clock())
        log.info("the shared store answers again", seconds=round(self.condition.since - opened, 3))
        self._changed(self.condition)
