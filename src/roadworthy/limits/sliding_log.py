"""The exact count of the period that ends now: the time of each taking is kept."""

from __future__ import annotations

import math
from collections import deque

from roadworthy.limits.quota import Quota


class Log:
    """Takings of the last period: their times and units, oldest first."""

    __slots__ = ("ends", "takings", "used")

    def __init__(self) -> None:
        self.takings: deque[tuple[float, int]] = deque()
        self.used = 0
        self.ends = 0.0


class SlidingLog:
    """The policy of a quota that holds in each stretch as long as its period. It changes a state in place."""

    __slots__ = ("_count", "_seconds")

    def __init__(self, quota: Quota) -> None:
        self._count = quota.count
        self._seconds = quota.seconds

    def available(self, state: Log | None, now: float) -> int:
        """See `Policy`."""
        if state is None:
            return self._count
        takings, over = state.takings, now - self._seconds
        while takings and takings[0][0] <= over:
            state.used -= takings.popleft()[1]
        return self._count - state.used

    def taken(self, state: Log | None, now: float, units: int) -> Log:
        """See `Policy`."""
        log = Log() if state is None else state
        log.takings.append((now, units))
        log.used += units
        log.ends = now + self._seconds
        return log

    def wait(self, state: Log | None, now: float, cost: int) -> float:
        """See `Policy`."""
        if cost > self._count:
            return math.inf
        missing = cost - self.available(state, now)
        if state is None or missing <= 0:
            return 0.0
        for moment, units in state.takings:
            missing -= units
            if missing <= 0:
                return moment + self._seconds - now
        raise AssertionError(state.takings)

    def reset(self, state: Log | None, now: float) -> float:
        """See `Policy`."""
        return 0.0 if state is None or now >= state.ends else state.ends - now
