"""What a breaker is to do, written down as plainly as it can be: it keeps every call and counts them all each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from roadworthy.resilience.breaker_spec import BreakerSpec

Outcome = Literal["fine", "failed", "slow", "slow and failed"]


class Refused(Exception):
    """The model lets no call through."""


@dataclass(slots=True)
class Ended:
    """A call of the present state that has ended."""

    at: float
    failed: bool
    slow: bool


@dataclass(slots=True)
class Model:
    """`spec` without jitter; `now` is moved by the test."""

    spec: BreakerSpec
    now: float
    state: str = "closed"
    stay: int = 0
    """Grows with each state that begins: a call belongs to the stay in which it began."""
    entered: float = 0.0
    waits: int = 0
    ended: list[Ended] = field(default_factory=list)
    begun: dict[int, float] = field(default_factory=dict)
    """The calls that run half open, by number, and since when."""
    calls: int = 0
    stays: dict[int, int] = field(default_factory=dict)

    def enter(self, state: str) -> None:
        if state == "open" and self.state != "open":
            self.waits = self.waits + 1 if self.state == "half_open" else 1
        if state == "closed":
            self.waits = 0
        self.state, self.entered = state, self.now
        self.stay += 1
        self.ended.clear()
        self.begun.clear()

    @property
    def wait(self) -> float:
        wait = self.spec.open_wait.total_seconds()
        for _ in range(self.waits - 1):
            wait *= self.spec.growth
        return min(wait, self.spec.longest_wait.total_seconds())

    def acquire(self) -> int:
        if self.state == "open" and self.now > self.entered + self.wait:
            self.enter("half_open")
        self.look_for_overdue()
        if self.state in {"open", "forced_open"}:
            raise Refused
        if self.state == "half_open" and len(self.begun) + len(self.ended) >= self.spec.permits:
            raise Refused
        self.calls += 1
        self.stays[self.calls] = self.stay
        if self.state == "half_open":
            self.begun[self.calls] = self.now
        return self.calls

    def look_for_overdue(self) -> None:
        wait = self.spec.half_open_wait
        if wait is not None and any(self.now - began > wait.total_seconds() for began in self.begun.values()):
            self.enter("open")

    def release(self, call: int) -> None:
        self.begun.pop(call, None)

    def end(self, call: int, outcome: Outcome) -> None:
        self.look_for_overdue()
        if self.stays[call] != self.stay or self.state in {"open", "forced_open", "disabled"}:
            return
        self.begun.pop(call, None)
        self.ended.append(Ended(self.now, "failed" in outcome, "slow" in outcome))
        rates = self.rates()
        if rates is None:
            return
        bad = rates[0] >= Fraction(str(self.spec.failure_rate)) or rates[1] >= Fraction(str(self.spec.slow_call_rate))
        if self.state == "half_open":
            self.enter("open" if bad else "closed")
        elif self.state == "closed" and bad:
            self.enter("open")

    def seen(self) -> list[Ended]:
        """The calls that the window of the present state holds."""
        if self.state == "half_open":
            return self.ended[-self.spec.permits :]
        if self.spec.window == "count":
            return self.ended[-self.spec.size :]
        return [one for one in self.ended if int(one.at) > int(self.now) - self.spec.size]

    def rates(self) -> tuple[Fraction, Fraction] | None:
        """The share that failed and the share that was slow; None below the minimum."""
        seen = self.seen()
        minimum = self.spec.minimum_calls
        if self.state == "half_open":
            minimum = self.spec.half_open_minimum or min(minimum, self.spec.permits)
        elif self.spec.window == "count":
            minimum = min(minimum, self.spec.size)
        if len(seen) < minimum:
            return None
        return (
            Fraction(sum(one.failed for one in seen), len(seen)),
            Fraction(sum(one.slow for one in seen), len(seen)),
        )
