"""A service in simulated time: handlers that hold a slot of a pool, behind a gate, under an open load."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from roadworthy.resilience.concurrency import AdaptiveLimit
from roadworthy.resilience.shedding import Gate, Priority

Durations = Callable[[], tuple[str, float]]


def steady(duration: float, kind: str = "one") -> Durations:
    return lambda: (kind, duration)


@dataclass
class Outcome:
    """A request: when it came, how long until it was answered, None for one that was turned away."""

    at: float
    priority: Priority
    took: float | None = None
    done: float = 0.0


@dataclass
class World:
    """Simulated time, and all that is to happen in it."""

    now: float = 0.0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)

    def clock(self) -> float:
        return self.now

    def at(self, moment: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), call))

    def later(self, wait: float, call: Callable[[], None]) -> None:
        self.at(self.now + wait, call)

    def soon(self, call: Callable[[], None]) -> None:
        self.at(self.now, call)

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, call = heapq.heappop(self._events)
            call()
        self.now = until


class Pooled:
    """Requests that each hold one of `slots` for as long as `durations` says, first come, first served."""

    def __init__(self, slots: int, durations: Durations, *, seed: int = 1, **limit: float) -> None:
        self.world = World()
        self.limit = AdaptiveLimit(self.world.clock, **limit)  # type: ignore[arg-type]
        self.gate = Gate(self.limit, self.world.soon, self.world.later, self.world.clock)
        self.slots = slots
        self.durations = durations
        self.failing = False
        self.outcomes: list[Outcome] = []
        self._held = 0
        self._queue: deque[Callable[[], None]] = deque()
        self._random = random.Random(seed)

    def load(self, rate: float, seconds: float, *, writes: float = 0.0) -> list[Outcome]:
        """Have `rate` requests come a second, a share `writes` of which write; return what became of them."""
        began, draw = self.world.now, self._random
        first = len(self.outcomes)
        due = began
        while (due := due + draw.expovariate(rate)) < began + seconds:
            priority = Priority.WRITE if draw.random() < writes else Priority.READ
            self.world.at(due, lambda priority=priority: self._arrive(priority))  # type: ignore[misc]
        self.world.run(began + seconds)
        return self.outcomes[first:]

    def _arrive(self, priority: Priority) -> None:
        outcome = Outcome(self.world.now, priority)
        self.outcomes.append(outcome)
        if self.gate.enter():
            self._begin(outcome)
        else:
            self.gate.wait(priority, lambda admitted: self._begin(outcome) if admitted else None)

    def _begin(self, outcome: Outcome) -> None:
        kind, duration = self.durations()
        in_flight, began = self.gate.in_flight, self.world.now

        def hold() -> None:
            self._held += 1
            self.world.later(duration, end)

        def end() -> None:
            self._held -= 1
            if self._queue:
                self._queue.popleft()()
            outcome.took, outcome.done = self.world.now - outcome.at, self.world.now
            self.gate.leave(kind, in_flight, began, failed=self.failing)

        if self._held < self.slots:
            hold()
        else:
            self._queue.append(hold)


def answered(outcomes: list[Outcome]) -> list[float]:
    return [outcome.took for outcome in outcomes if outcome.took is not None]


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]
