"""A count of this window and of the part of the one before that a window ending now still covers.

What came in the window before is taken to have been spread evenly over it. Cloudflare described it in 2017 ("How we
built rate limiting capable of scaling to millions of domains").
"""

from __future__ import annotations

import math

import msgspec

from roadworthy.limits.quota import Quota

_ROUNDING = 1e-9


class Windows(msgspec.Struct, frozen=True, gc=False):
    """What was used in the window that began at `began`, and in the one before; `ends` is when neither counts."""

    began: float
    before: int
    current: int
    ends: float

    @property
    def used(self) -> int:
        """Units of both windows."""
        return self.before + self.current


class SlidingWindow:
    """The policy of a quota counted so. `origin` is the Unix time at which the clock was at 0."""

    __slots__ = ("_count", "_origin", "_seconds")

    def __init__(self, quota: Quota, origin: float = 0.0) -> None:
        self._count = quota.count
        self._seconds = quota.seconds
        self._origin = origin

    def available(self, state: Windows | None, now: float) -> int:
        """See `Policy`."""
        if state is None or now >= state.ends:
            return self._count
        before, current, passed = self._at(state, now)
        # Rounded up, so that what came before never counts for less than its part.
        return math.floor(self._count - current - before * (1 - passed / self._seconds) + _ROUNDING)

    def taken(self, state: Windows | None, now: float, units: int) -> Windows:
        """See `Policy`."""
        seconds = self._seconds
        if state is None or now >= state.ends:
            before, current = 0, 0
            began = (now + self._origin) // seconds * seconds - self._origin
        else:
            before, current, _ = self._at(state, now)
            began = state.began if now < state.began + seconds else state.began + seconds
        return Windows(began, before, current + units, began + 2 * seconds)

    def wait(self, state: Windows | None, now: float, cost: int) -> float:
        """See `Policy`."""
        if cost > self._count:
            return math.inf
        if state is None or cost <= self.available(state, now):
            return 0.0
        before, current, passed = self._at(state, now)
        room = self._count - cost
        if current <= room:
            return self._until(before, room - current) - passed
        return self._seconds - passed + self._until(current, room)

    def reset(self, state: Windows | None, now: float) -> float:
        """See `Policy`."""
        if state is None or now >= state.ends:
            return 0.0
        return state.ends - now

    def _at(self, state: Windows, now: float) -> tuple[int, int, float]:
        """Return what was used in the window before and in this one, and how much of this one has passed."""
        passed = now - state.began
        if passed < self._seconds:
            return state.before, state.current, passed
        return state.current, 0, passed - self._seconds

    def _until(self, used: int, room: int) -> float:
        """Return how much of a window has to pass until `used` units of the one before count for `room`."""
        return self._seconds * (1 - room / used) if used > room else 0.0
