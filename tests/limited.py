"""What tests of rate limits stand on: a clock that they move, and a store that they break."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from roadworthy.limits.memory import MemoryStore
from roadworthy.limits.store import Counter, StoreDown, Verdict

T = TypeVar("T")


class Clock:
    """Seconds; call it to read it."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class SharedStore:
    """A store for several limiters: memory that notes what it is asked, fails and waits as it is told."""

    def __init__(self, clock: Clock) -> None:
        self.memory = MemoryStore(clock=clock, wall=clock)
        self.asked: list[tuple[tuple[str, ...], int, int]] = []
        self.down = False
        self.gate: asyncio.Event | None = None

    async def take(self, counters: Sequence[Counter], cost: int = 1, most: int = 1) -> list[Verdict]:
        """See `Store.take`."""
        self.asked.append((tuple(counter.key for counter in counters), cost, most))
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise StoreDown("away")
        return await self.memory.take(counters, cost, most)

    async def close(self) -> None:
        """See `Store.close`."""
        await self.memory.close()


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    work.close()
    raise AssertionError("it waits")
