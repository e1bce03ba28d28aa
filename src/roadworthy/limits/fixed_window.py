"""A count that starts anew at each multiple of the period since 1970."""

from __future__ import annotations

import math

import msgspec

from roadworthy.limits.quota import Quota


class Window(msgspec.Struct, frozen=True, gc=False):
    """What was used in one window."""

    ends: float
    used: int


class FixedWindow:
    """The policy of a quota that is counted in windows. `origin` is the Unix time at which the clock was at 0."""

    __slots__ = ("_count", "_origin", "_seconds")

    def __init__(self, quota: Quota, origin: float = 0.0) -> None:
        self._count = quota.count
        self._seconds = quota.seconds
        self._origin = origin

    def available(self, state: Window | None, now: float) -> int:
        """See `Policy`."""
        return self._count if state is None or now >= state.ends else self._count - state.used

    def taken(self, state: Window | None, now: float, units: int) -> Window:
        """See `Policy`."""
        if state is None or now >= state.ends:
            window = (now + self._origin) // self._seconds
            return Window((window + 1) * self._seconds - self._origin, units)
        return Window(state.ends, state.used + units)

    def wait(self, state: Window | None, now: float, cost: int) -> float:
        """See `Policy`."""
        if cost > self._count:
            return math.inf
        return 0.0 if state is None or cost <= self.available(state, now) else state.ends - now

    def reset(self, state: Window | None, now: float) -> float:
        """See `Policy`."""
        return 0.0 if state is None or now >= state.ends else state.ends - now
