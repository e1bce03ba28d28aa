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
            while self._queue and self._held < self.slots:
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


class Computing:
    """Requests that each compute for as long as `durations` says, in one event loop, as in a process of a server's.

    What is ready is run in passes: what becomes ready in one runs in the next. A refusal takes `refusing` seconds.
    """

    def __init__(self, durations: Durations, *, refusing: float = 0.0001, seed: int = 1, shedding: bool = True) -> None:
        self.now = 0.0
        self.limit = AdaptiveLimit(self.clock)
        self.gate = Gate(self.limit, self._soon, self._later, self.clock)
        self.durations = durations
        self.refusing = refusing
        self.shedding = shedding
        self.passes = 0
        self._random = random.Random(seed)
        self._ready: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def clock(self) -> float:
        return self.now

    def _soon(self, call: Callable[[], None]) -> None:
        self._ready.append(call)

    def _later(self, wait: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self.now + wait, next(self._order), call))

    def load(self, rate: float, seconds: float, *, writes: float = 0.0, even: bool = False) -> list[Outcome]:
        """Have `rate` requests come a second, a share `writes` of which write; return what became of them."""
        draw = self._random
        end = self.now + seconds
        outcomes: list[Outcome] = []
        due = self.now
        while (due := due + (1 / rate if even else draw.expovariate(rate))) < end:
            priority = Priority.WRITE if draw.random() < writes else Priority.READ
            outcome = Outcome(due, priority)
            outcomes.append(outcome)
            heapq.heappush(self._timers, (due, next(self._order), lambda outcome=outcome: self._arrive(outcome)))  # type: ignore[misc]
        self._run(end)
        return outcomes

    def _run(self, until: float) -> None:
        while self.now < until:
            self._take_due()
            if not self._ready:
                if not self._timers or self._timers[0][0] > until:
                    self.now = until
                    return
                self.now = max(self.now, self._timers[0][0])
                continue
            self.passes += 1
            for _ in range(len(self._ready)):
                self._ready.popleft()()

    def _take_due(self) -> None:
        while self._timers and self._timers[0][0] <= self.now:
            self._ready.append(heapq.heappop(self._timers)[2])

    def _arrive(self, outcome: Outcome) -> None:
        if not self.shedding or self.gate.enter():
            self._compute(outcome)
        else:
            self.gate.wait(outcome.priority, lambda admitted: self._soon(lambda: self._decided(outcome, admitted)))

    def _decided(self, outcome: Outcome, admitted: bool) -> None:
        if admitted:
            self._compute(outcome)
        else:
            self._pass(self.refusing)

    def _compute(self, outcome: Outcome) -> None:
        kind, duration = self.durations()
        in_flight, began = self.gate.in_flight, self.now
        self._pass(duration)
        outcome.took, outcome.done = self.now - outcome.at, self.now
        if self.shedding:
            self.gate.leave(kind, in_flight, began)

    def _pass(self, duration: float) -> None:
        self.now += duration
        self._take_due()
