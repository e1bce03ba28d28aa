"""What decides for one limit: memory where it can, a shared store where it must."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from roadworthy.limits.counting import Counts
from roadworthy.limits.decision import Decision
from roadworthy.limits.local import deciding
from roadworthy.limits.memory import MemoryStore
from roadworthy.limits.remembered import Remembered
from roadworthy.limits.shared import Known, Shared
from roadworthy.limits.spec import LimitSpec
from roadworthy.limits.store import Store


class Limiter:
    """One limit as it runs in one process.

    `quick(key, cost=1)` decides without waiting, and counts that; it returns None where the store has to be asked,
    which `ask` does. `check` is the two of them. None of them raises for a denial, nor for a store that is away. Once
    it is closed, `quick` knows nothing, so that a handle has to look for the limiter that came after it.
    """

    __slots__ = ("_remembered", "_shared", "closed", "counts", "quick", "spec")

    def __init__(
        self,
        spec: LimitSpec,
        service: str,
        store: Store | None = None,
        *,
        processes: int = 1,
        counts: Counts | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Count in `store` for all processes, of which there are `processes`; without one, in memory for this one.

        Keys in the store begin with `service` and the limit's name. What is decided is added to `counts`.
        """
        self.spec = spec
        self.counts = counts or Counts()
        self.closed = False
        self.quick: Known
        self._remembered: Remembered[Any]
        self._shared: Shared | None = None
        if store is None:
            memory = MemoryStore(spec.keys * len(spec.quotas), clock=clock, wall=wall)
            self._remembered = memory.states
            self.quick = deciding(spec, self.counts, memory)
        else:
            self._shared = Shared(spec, self.counts, store, service, processes=processes, clock=clock, wall=wall)
            self._remembered = self._shared.accounts
            self.quick = self._shared.knowing()

    @property
    def keys(self) -> int:
        """How many keys are remembered in this process, where several quotas count in memory once for each."""
        return len(self._remembered)

    @property
    def evictions(self) -> int:
        """How many keys were forgotten for want of room while they still counted."""
        return self._remembered.evictions

    async def check(self, key: str, cost: int = 1) -> Decision:
        """Decide about `cost` units, from 1, for a key."""
        decision = self.quick(key, cost)
        return decision if decision is not None else await self.ask(key, cost)

    async def ask(self, key: str, cost: int = 1) -> Decision:
        """Decide by asking the store, after `quick` said None."""
        if self._shared is None:
            raise RuntimeError(f"limit {self.spec.name!r} counts in memory and was asked after it was closed")
        return await self._shared.ask(key, cost)

    def close(self) -> None:
        """Know nothing any more."""
        self.closed = True
        self.quick = _nothing


def _nothing(_key: str, _cost: int = 1) -> None:
    return None
