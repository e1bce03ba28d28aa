"""One queue in one worker: what it holds, and how much more it should take."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from roadworthy.jobs.current import CurrentJob
from roadworthy.jobs.engine import ClaimedJob
from roadworthy.jobs.limits import LimitRule
from roadworthy.jobs.spec import QueueSpec

_HORIZON = 0.05
_MOST_AHEAD = 500
_SMOOTHING = 0.05

Cut = Literal["lease lost", "drain", "timeout", "cancelled"]


@dataclass(slots=True, eq=False)
class Held:
    """A claimed job in this process: waiting for a slot, running, or finished and not yet confirmed.

    `taken_at` is when its claim was asked for, `renewed_at` the same or when the latest renewal of its lease was.
    `superseded` says that this process claimed the job again, `given_up` that the attempt was reported as ended though
    it still runs. `timer` is what cuts it at its deadline, or gives it up some time after it was cut.
    """

    job: ClaimedJob
    lane: Lane
    taken_at: float
    renewed_at: float = 0.0
    task: asyncio.Task[None] | None = None
    cut: Cut | None = None
    finished: bool = False
    superseded: bool = False
    given_up: bool = False
    started_at: float = 0.0
    current: CurrentJob | None = None
    timer: asyncio.TimerHandle | None = None

    @property
    def naming(self) -> dict[str, object]:
        """What a log line needs to tell which attempt it is about."""
        return {"queue": self.job.queue, "job": self.job.job, "job_id": self.job.id, "attempt": self.job.attempt}

    @property
    def kept_until(self) -> float:
        """Until when nobody else can have taken the job: its lease began after it was asked for."""
        return self.renewed_at + self.lane.lease.total_seconds()


@dataclass(slots=True, eq=False)
class Lane:
    """The jobs of one queue that a worker holds.

    It takes as many ahead of its slots as it should start within 50 ms by its recent pace, so that no-ops come in
    large batches while jobs that take longer are left to whichever worker is free first. `exhausted` says that the
    last claim brought less than was asked for, so that a free slot alone is no reason to ask again. `asked_at` is when
    the claim under way was asked for. `stuck` counts the
    slots of attempts that were given up and still run, `stuck_since` is when the last slot became one. `limits` are the
    queue's and its jobs'.
    """

    queue: QueueSpec
    limits: tuple[LimitRule, ...] = ()
    waiting: deque[Held] = field(default_factory=deque)
    running: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    claimed_at: float = 0.0
    asked_at: float | None = None
    exhausted: bool = False
    stuck: int = 0
    stuck_since: float | None = None
    _mean: float | None = None

    @property
    def rated(self) -> bool:
        """Whether a rate is among its limits."""
        return any(rule.spacing is not None for rule in self.limits)

    @property
    def lease(self) -> timedelta:
        """How long a claim lasts unrenewed."""
        return self.queue.lease

    @property
    def free(self) -> int:
        """How many slots are free."""
        return self.queue.concurrency - self.running

    def appetite(self) -> int:
        """Return how many jobs to claim now; 0 while it holds more than half of what it should and no slot idles."""
        slots = self.queue.concurrency - self.stuck
        if slots <= 0:
            return 0
        ahead = 0 if self._mean is None else min(int(slots * _HORIZON / max(self._mean, 1e-6)), _MOST_AHEAD)
        want = slots + ahead - (self.running - self.stuck) - len(self.waiting)
        return want if want > 0 and (want * 2 >= slots + ahead or self.free > len(self.waiting)) else 0

    def give_up(self, now: float) -> None:
        """Note that a slot's attempt does not end."""
        self.stuck += 1
        if self.stuck >= self.queue.concurrency:
            self.stuck_since = now

    def recover(self) -> None:
        """Note that an attempt ended which had been given up."""
        self.stuck -= 1
        self.stuck_since = None

    def look(self) -> None:
        """Have it claim as soon as it has an appetite: its queue may have become ready."""
        self.exhausted = False
        self.wake.set()

    def ran(self, seconds: float) -> None:
        """Note how long an attempt took."""
        self._mean = seconds if self._mean is None else self._mean + _SMOOTHING * (seconds - self._mean)

    def slow_down(self) -> None:
        """Take no more than free slots until jobs have proved short again: what was taken ahead waited too long."""
        self._mean = max(self._mean or 0.0, 1.0)
