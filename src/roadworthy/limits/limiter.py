"""What decides for one limit: memory where it can, a shared store where it must."""

from __future__ import annotations

import time
from collections.abc import Callable

from roadworthy.limits.counting import Counts
from roadworthy.limits.decision import Decision
from roadworthy.limits.spec import LimitSpec
from roadworthy.limits.store import Store

Quick = Callable[[str, int], Decision | None]


class Limiter:
    """One limit as it runs in one process.

    `quick(key, cost)` decides without waiting, and counts that; it returns None where the store has to be asked, which
    `ask` does. `check` is the two of them. None of them raises for a denial or for a store that is away.
    """

    def __init__(
        self,
        spec: LimitSpec,
        service: str,
        store: Store | None = None,
        *,
        processes: int = 1,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Count in `store` for all processes, of which there are `processes`; without one, in memory for this one.

        Keys in the store begin with `service` and the limit's name.
        """
        self.spec = spec
        self.counts = Counts()
        self.closed = False
        self.quick: Quick = lambda key, cost=1: None

    @property
    def keys(self) -> int:
        """How many keys are remembered in this process."""
        raise NotImplementedError

    @property
    def evictions(self) -> int:
        """How many keys were forgotten for want of room while they still counted."""
        raise NotImplementedError

    async def check(self, key: str, cost: int = 1) -> Decision:
        """Decide about `cost` units, from 1, for a key."""
        decision = self.quick(key, cost)
        return decision if decision is not None else await self.ask(key, cost)

    async def ask(self, key: str, cost: int = 1) -> Decision:
        """Decide by asking the store, after `quick` said None."""
        raise NotImplementedError
