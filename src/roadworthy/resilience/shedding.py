"""Which requests are let in, which wait a moment, and which are turned away, while there are more than can be answered.

Two queues form in front of a Python process, and each is kept short by what can be seen of it:

- *Behind the handlers*, where they wait for a pool, a database, threads or each other. Requests under way are counted,
  and an `AdaptiveLimit` says how many are too many. What finds no room waits for one, for less than a request takes.
- *Before the handlers*, in the event loop's own queue, where a handler that computes keeps all that came after it.
  Requests that begin in one pass of the loop were waiting all at once. As CoDel does (Nichols and Jacobson 2012), a
  burst is left alone, and a queue that has stood for `INTERVAL` is not: from then on the requests of a pass are decided
  together, as many let in as fit into a few milliseconds.

In both, higher priorities go first, and among equals the newest: its client is still there, and the wait of what is
answered stays short (adaptive LIFO; Maurer, "Fail at Scale", 2015).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import IntEnum

from roadworthy.resilience.concurrency import AdaptiveLimit

INTERVAL = 0.1
"""Seconds for which the event loop's queue may stand before requests are turned away."""
TARGET = 0.01
"""Seconds that the requests of one pass of the event loop may take together at any time."""
MOST_BEFORE = 7
"""How many requests of one pass may do so for longer."""
BATCH = 0.005
"""Seconds of work that are let in at once while the event loop is behind."""

_PRESSURE = 2.0
_SMOOTHING = 0.05
_LEARNING = 0.2


class Priority(IntEnum):
    """What is turned away first: `LOW`, then `READ`, `WRITE`, `CRITICAL`."""

    LOW = 0
    READ = 1
    WRITE = 2
    CRITICAL = 3


_PATIENCE = (0.5, 0.5, 5.0, 10.0)
"""How long each priority waits, as a multiple of a request's usual time."""
_PLACES = (0.25, 0.25, 1.0, 1.0)
_FEWEST_PLACES = (1, 1, 4, 4)
"""How many may wait of each priority: a share of the limit, and at least so many."""
_LONGEST_WAIT = 1.0
_SHORTEST_WAIT = 0.002


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that waits since `since` for `decide`, which is called once: True to be let in."""

    priority: Priority
    since: float
    decide: Callable[[bool], None]


class Gate:
    """Where requests come in. `in_flight` are under way; `behind` says that the event loop's queue stands."""

    __slots__ = (
        "_admitted",
        "_arrived",
        "_began",
        "_chain",
        "_clock",
        "_each",
        "_last",
        "_later",
        "_marked",
        "_pressure",
        "_room",
        "_soon",
        "_timing",
        "_waiting",
        "behind",
        "in_flight",
        "limit",
        "now",
    )

    def __init__(
        self,
        limit: AdaptiveLimit,
        soon: Callable[[Callable[[], None]], object],
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`soon` has the event loop call something in its next pass, `later` after some seconds; `clock` (seconds)."""
        self.limit = limit
        self.in_flight = 0
        self.behind = False
        self.now = clock()
        self._soon = soon
        self._later = later
        self._clock = clock
        self._room: tuple[list[Waiting], ...] = tuple([] for _ in Priority)
        self._waiting = 0
        self._timing = False
        self._marked = False
        self._arrived = 0
        self._admitted = 0
        self._began = self._chain = self._last = self.now
        self._each = 0.0
        self._pressure = 0.0

    @property
    def overloaded(self) -> bool:
        """Whether a request that came now would have to wait."""
        return self.behind or self.in_flight >= self.limit.limit

    def enter(self) -> bool:
        """Let a request in if it need not wait; `now` is then when. Else `wait` has to be called."""
        now = self.now = self._clock()
        if self._marked:
            self._arrived += 1
            if (
                now - self._chain > INTERVAL
                and self._arrived > MOST_BEFORE
                and now - self._began > TARGET
                and not self.behind
            ):
                self._fall_behind(now)
        else:
            self._marked = True
            self._arrived = 1
            self._began = self._chain = now
            self._soon(self._mark)
            if self.behind and now - self._last > max(INTERVAL, 10 * self._each):
                self.behind = False
        if self.behind:
            return False
        if self.in_flight < self.limit.limit and not self._waiting:
            self.in_flight += 1
            return True
        self.limit.saturate(now)
        return False

    def wait(self, priority: Priority, decide: Callable[[bool], None]) -> Waiting:
        """Have a request wait that `enter` did not let in; `decide` is called later, or at once for another one."""
        waiting = Waiting(priority, self.now, decide)
        room = self._room[priority]
        room.append(waiting)
        self._waiting += 1
        if len(room) > self._places(priority):
            self._turn_away(room.pop(0))
        if self._waiting and not self._timing:
            self._time()
        return waiting

    def _places(self, priority: Priority) -> int:
        if self.behind and priority <= Priority.READ:
            return self._batch()
        return max(int(self.limit.limit * _PLACES[priority]), _FEWEST_PLACES[priority])

    def give_up(self, waiting: Waiting) -> None:
        """Forget a request that no longer waits, its client being gone."""
        room = self._room[waiting.priority]
        if waiting in room:
            room.remove(waiting)
            self._waiting -= 1

    def leave(self, kind: Hashable, in_flight: int, began: float, *, failed: bool = False) -> None:
        """Note that a request has ended; see `AdaptiveLimit.ended`."""
        self.in_flight -= 1
        self.limit.ended(kind, in_flight, began, self._clock(), failed=failed)
        if self._waiting:
            self._go_on()

    def withdraw(self) -> None:
        """Note that a request is no longer under way, which teaches nothing."""
        self.in_flight -= 1
        if self._waiting:
            self._go_on()

    def _go_on(self) -> None:
        if not self.behind:
            self._let_in(self.limit.limit)
        elif not self._marked:
            self._begin_pass(self._clock())

    def _let_in(self, most: int) -> int:
        """Let in at most so many of those that wait, as far as there is room; return how many."""
        count = 0
        for room in reversed(self._room):
            while room and count < most and self.in_flight < self.limit.limit:
                waiting = room.pop()
                self._waiting -= 1
                self.in_flight += 1
                count += 1
                waiting.decide(True)
        return count

    def _turn_away(self, waiting: Waiting) -> None:
        self._waiting -= 1
        waiting.decide(False)

    # What follows looks at the event loop's queue.

    def _begin_pass(self, now: float) -> None:
        """Count the requests that begin before the event loop comes to what it is told now."""
        self._marked = True
        self._arrived = 0
        self._began = now
        self._soon(self._mark)

    def _mark(self) -> None:
        now = self._clock()
        took, arrived = now - self._began, self._arrived
        self._marked = False
        if self.behind and self._admitted:
            # What came while those ran begins to wait in the pass that follows, and is to be decided with the others.
            self._each += (took / self._admitted - self._each) * _LEARNING
            self._admitted = 0
            self._begin_pass(now)
            self._arrived = arrived
        elif self.behind:
            self._decide(now, arrived)
        elif arrived > 1 and took > TARGET:
            self._each = took / arrived
            self._begin_pass(now)

    def _fall_behind(self, now: float) -> None:
        self.behind = True
        self._each = (now - self._began) / max(1, self._arrived - 1)
        self._pressure = 1.25 * _PRESSURE
        self._admitted = 0
        self._last = now

    def _batch(self) -> int:
        return max(1, int(BATCH / self._each)) if self._each > 0 else 1

    def _decide(self, now: float, arrived: int) -> None:
        """Decide about those that began to wait in the pass that is over."""
        batch = self._batch()
        if arrived:
            self._last = now
            self._pressure += (arrived / batch - self._pressure) * _SMOOTHING
            if self._pressure < _PRESSURE:
                self.behind = False
                self._let_in(self.limit.limit)
                return
        self._admitted = self._let_in(batch)
        for priority in (Priority.LOW, Priority.READ):
            room = self._room[priority]
            while room:
                self._turn_away(room.pop())
        if self._admitted or (self._waiting and not self.in_flight):
            self._begin_pass(now)

    # And this ends the waiting for room.

    def _time(self) -> None:
        self._timing = True
        self._later(self._patience(Priority.READ), self._end_waits)

    def _patience(self, priority: Priority) -> float:
        return min(max(self.limit.usual * _PATIENCE[priority], _SHORTEST_WAIT), _LONGEST_WAIT)

    def _end_waits(self) -> None:
        self._timing = False
        now = self._clock()
        for priority in Priority:
            room = self._room[priority]
            patience = self._patience(priority)
            while room and now - room[0].since >= patience:
                self._turn_away(room.pop(0))
        if self._waiting:
            self._time()
