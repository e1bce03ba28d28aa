"""The store's clock as one process estimates it, and the stamps that it gives.

The offset is Cristian's (1989): the store's answer belongs to the middle of the exchange, give or take half of it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from roadworthy.cache.stamp import NODES, stamp_of

_DRIFT = 2e-5
"""Seconds that two disciplined clocks may part in one: well above what NTP leaves."""


class StoreClock:
    """The time by the store's clock, and the uncertainty of that."""

    def __init__(
        self, node: int, *, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        """`node`, 0 to 4095, tells this process's stamps apart. Until the store was asked, `wall` has to do."""
        self.node = node
        self.monotonic = monotonic
        self.offset = wall() - monotonic()
        self._error = 0.0
        self._measured_at: float | None = None
        self._last = 0

    async def measure(self, ask: Callable[[], Awaitable[float]]) -> None:
        """Ask the store for its time, and keep the answer unless an earlier one is still the better."""
        began = self.monotonic()
        answer = await ask()
        ended = self.monotonic()
        error = (ended - began) / 2
        if self._measured_at is None or error < self.uncertainty:
            self.offset = answer - (began + ended) / 2
            self._error, self._measured_at = error, ended

    @property
    def uncertainty(self) -> float:
        """By how many seconds `now` may be wrong, either way."""
        if self._measured_at is None:
            return 0.0
        return self._error + _DRIFT * (self.monotonic() - self._measured_at)

    def now(self) -> float:
        """Return the store's time, Unix time in seconds."""
        return self.monotonic() + self.offset

    def began(self) -> int:
        """Return the stamp of a loading that begins now: never later, so that no change after it is missed."""
        if self._measured_at is None:
            return self._next(self.now())
        return stamp_of(self.now() - self.uncertainty, self.node)

    def value(self, after: int) -> int:
        """Return the stamp of a value that is set, or begins to load, now: never later, but that it follows `after`.

        `after` is the newest stamp that was heard of, which therefore is past.

        An invalidation after it, which the store stamps, is newer. A loading on another process that began within
        twice the uncertainty before it may count as newer, too.
        """
        return max(self.began(), after + NODES)

    def asserted(self) -> int:
        """Return the stamp of a deletion that is made now: never earlier, and newer than the ones before it."""
        return self._next(self.now() + self.uncertainty)

    def _next(self, seconds: float) -> int:
        self._last = max(self._last + NODES, stamp_of(seconds, self.node))
        return self._last
