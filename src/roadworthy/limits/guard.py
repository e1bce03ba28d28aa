"""A guard before a store: who has waited once for one that is gone makes nobody else wait.

When it asks and when not is in `roadworthy.outage`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from roadworthy.limits.store import Counter, Store, StoreDown, Verdict
from roadworthy.outage import Condition, Outages, StoreRefused
from roadworthy.telemetry.logging import get_logger

log = get_logger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0
"""Seconds before the store is tried again: soon, for meanwhile limits are not what they say."""
_SILENT = 60.0
"""Seconds between two lines in the log on a store that refuses."""


class Probed(Store, Protocol):
    """A store that can be asked for anything, to see whether it answers."""

    async def now(self) -> float:
        """Return the store's time, Unix time in seconds. Raises StoreDown."""


class Guard:
    """A `Store` that asks another one only while that answers. It belongs to one event loop."""

    def __init__(
        self,
        store: Probed,
        *,
        timeout: float | None,
        changed: Callable[[Condition], None] = lambda _: None,
        first_wait: float = _FIRST_WAIT,
        longest_wait: float = _LONGEST_WAIT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Stand before `store`; `changed` is told of each outage's beginning and end.

        `timeout` bounds each call in seconds; None is for a store that has all who wait fail in time by itself.
        `first_wait`, `longest_wait` and `clock` are as in `Outages`.
        """
        self._store = store
        self._clock = clock
        self._outages = Outages(
            store.now,
            store="store of limits",
            timeout=timeout,
            changed=changed,
            first_wait=first_wait,
            longest_wait=longest_wait,
            clock=clock,
        )
        self._timed = timeout is not None
        self._silent_until = 0.0

    @property
    def condition(self) -> Condition:
        """Whether the store is asked."""
        return self._outages.condition

    @property
    def up(self) -> bool:
        """Whether the store answers."""
        return self._outages.why is None

    async def take(self, counters: Sequence[Counter], cost: int = 1, most: int = 1) -> list[Verdict]:
        """See `Store.take`. While the store does not answer, it raises StoreDown at once."""
        outages = self._outages
        try:
            if self._timed:
                return await outages.ask(self._store.take, counters, cost, most)
            if outages.why is not None:
                raise StoreDown(outages.why)
            return await self._store.take(counters, cost, most)
        except StoreRefused as error:
            self._tell(error)
            raise
        except StoreDown as error:
            outages.note(error)
            raise

    async def close(self) -> None:
        """Stop probing, and close the store."""
        await self._outages.close()
        await self._store.close()

    def _tell(self, error: StoreRefused) -> None:
        now = self._clock()
        if now >= self._silent_until:
            self._silent_until = now + _SILENT
            log.warning("the store of limits refuses to count", reason=str(error))
