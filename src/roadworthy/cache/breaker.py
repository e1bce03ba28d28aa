"""A breaker in front of a shared store: who has waited once for a store that is gone makes nobody else wait.

When it opens and closes is in `roadworthy.outage`.
"""

from __future__ import annotations

import asyncio
import random as randomness
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from roadworthy.cache.store import Change, Store, StoreDown, Write
from roadworthy.outage import Condition, Outages


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
        """Stand before `store`; `changed` is told of each opening and closing. See `Outages` for the rest."""
        self._store = store
        self._outages = Outages(
            store.now,
            changed=changed,
            first_wait=first_wait,
            longest_wait=longest_wait,
            clock=clock,
            random=random,
            sleep=sleep,
        )
        self._ask = self._outages.ask

    @property
    def condition(self) -> Condition:
        """Whether the store is asked."""
        return self._outages.condition

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
        if self._outages.why is not None:
            raise StoreDown(self._outages.why)
        try:
            return await self._store.get(name)
        except StoreDown as error:
            self._outages.note(error)
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
        await self._outages.close()
        await self._store.close()
