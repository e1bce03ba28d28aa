"""How many of the last calls failed or were slow, in constant time and without looking at them all again."""

from __future__ import annotations

from typing import Protocol

FAILED = 1
SLOW = 2
"""How a call went, as a sum: 0 is neither failed nor slow, 3 both."""


class Outcomes(Protocol):
    """The calls that a window holds: how many, how many of them failed, and how many were slow."""

    calls: int
    failures: int
    slow: int

    def add(self, outcome: int, now: float) -> None:
        """Add one call that ended `now`, and forget what the window does not reach any more."""

    def advance(self, now: float) -> None:
        """Forget what the window does not reach any more."""


class CountWindow:
    """The last `size` calls."""

    __slots__ = ("_next", "_outcomes", "calls", "failures", "size", "slow")

    def __init__(self, size: int) -> None:
        self.size = size
        self.calls = self.failures = self.slow = 0
        self._outcomes = bytearray(size)
        self._next = 0

    def add(self, outcome: int, now: float) -> None:
        """See `Outcomes.add`; the time does not matter."""
        position = self._next
        self._next = position + 1 if position + 1 < self.size else 0
        if self.calls < self.size:
            self.calls += 1
        gone = self._outcomes[position]
        if gone != outcome:
            self._outcomes[position] = outcome
            self.failures += (outcome & FAILED) - (gone & FAILED)
            self.slow += (outcome >> 1) - (gone >> 1)

    def advance(self, now: float) -> None:
        """See `Outcomes.advance`: no call leaves but by another one's coming."""


class TimeWindow:
    """The calls that ended in this second and the `size - 1` before it, one sum for each."""

    __slots__ = ("_calls", "_failures", "_next", "_position", "_slow", "calls", "failures", "size", "slow")

    def __init__(self, size: int, now: float) -> None:
        self.size = size
        self.calls = self.failures = self.slow = 0
        self._calls, self._failures, self._slow = [0] * size, [0] * size, [0] * size
        self._next = int(now) + 1
        self._position = 0

    def add(self, outcome: int, now: float) -> None:
        """See `Outcomes.add`."""
        if now >= self._next:
            self.advance(now)
        self.calls += 1
        self._calls[self._position] += 1
        if outcome:
            self.failures += outcome & FAILED
            self._failures[self._position] += outcome & FAILED
            self.slow += outcome >> 1
            self._slow[self._position] += outcome >> 1

    def advance(self, now: float) -> None:
        """See `Outcomes.advance`."""
        passed = int(now) + 1 - self._next
        for _ in range(min(passed, self.size)):
            position = self._position = (self._position + 1) % self.size
            self.calls -= self._calls[position]
            self.failures -= self._failures[position]
            self.slow -= self._slow[position]
            self._calls[position] = self._failures[position] = self._slow[position] = 0
        if passed > 0:
            self._next += passed
