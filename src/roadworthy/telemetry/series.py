"""The series of a metric: numbers that are counted up in place."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Protocol

from roadworthy.telemetry.exposition import Exemplar
from roadworthy.telemetry.ledger import Numbers


class Child(Protocol):
    """One series of a metric. A counter has `inc`, a gauge `set`, `inc` and `dec`, a histogram `observe`."""

    def inc(self, amount: float = 1) -> None: ...
    def dec(self, amount: float = 1) -> None: ...
    def set(self, value: float) -> None: ...
    def observe(self, amount: float, trace: str | None = None) -> None: ...


class CounterSeries:
    """A series of a counter; its locks make it usable in several threads."""

    __slots__ = ("_lock", "numbers")

    def __init__(self, numbers: Numbers) -> None:
        """Count in `numbers`, of which there is one."""
        self.numbers = numbers
        self._lock = Lock()

    def inc(self, amount: float = 1) -> None:
        """Add `amount`, which must not be negative."""
        if amount < 0:
            raise ValueError(f"a counter only rises, and {amount} is negative; use a gauge for what also falls")
        with self._lock:
            self.numbers[0] += amount

    def held(self) -> tuple[float, ...]:
        """Return the numbers as they are."""
        return (self.numbers[0],)


class GaugeSeries:
    """A series of a gauge."""

    __slots__ = ("_lock", "_value", "read")

    def __init__(self) -> None:
        """Begin at 0."""
        self._value = 0.0
        self._lock = Lock()
        self.read: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        """Set the value."""
        self._value = float(value)

    def inc(self, amount: float = 1) -> None:
        """Add `amount`."""
        with self._lock:
            self._value += amount

    def dec(self, amount: float = 1) -> None:
        """Take `amount` away."""
        self.inc(-amount)

    def held(self) -> tuple[float, ...]:
        """Return the numbers as they are."""
        return (self._value if self.read is None else float(self.read()),)


class HistogramSeries:
    """A series of a histogram: a count for each bucket, then the sum."""

    __slots__ = ("_lock", "bounds", "examples", "numbers")

    def __init__(self, numbers: Numbers, bounds: Sequence[float]) -> None:
        """Count in `numbers`: one more than there are `bounds`, and the sum."""
        self.numbers = numbers
        self.bounds = bounds
        self.examples: dict[int, Exemplar] = {}
        self._lock = Lock()

    def observe(self, amount: float, trace: str | None = None) -> None:
        """Count one observation, made in the recorded trace of this id."""
        bucket = bisect_left(self.bounds, amount)
        with self._lock:
            self.numbers[bucket] += 1
            self.numbers[-1] += amount
        if trace is not None:
            self.examples[bucket] = Exemplar(bucket, trace, amount, time.time())

    def held(self) -> tuple[float, ...]:
        """Return the numbers as they are."""
        return tuple(self.numbers)


class Tally:
    """Observations of a histogram's series and events of a counter's at once, cheaply, for one thread alone."""

    __slots__ = ("_bounds", "_counted", "_numbers", "_timed")

    def __init__(self, timed: Child, counted: Child) -> None:
        """Observe in `timed`, a histogram's series, and count in `counted`, a counter's."""
        if not isinstance(timed, HistogramSeries) or not isinstance(counted, CounterSeries):
            raise TypeError("a tally is of a histogram's series and a counter's")
        self._timed = timed
        self._bounds = timed.bounds
        self._numbers = timed.numbers
        self._counted = counted.numbers

    def observe(self, amount: float, trace: str | None = None) -> None:
        """Count one event that took so long, in the recorded trace of this id."""
        if trace is not None:
            self._timed.observe(amount, trace)
        else:
            numbers = self._numbers
            numbers[bisect_left(self._bounds, amount)] += 1
            numbers[-1] += amount
        self._counted[0] += 1
