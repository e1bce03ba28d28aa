"""Jobs in this process's memory, as the engine and the operations share them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from roadworthy.jobs.engine import Failure, NewJob
from roadworthy.jobs.operations import Pause, QueueCounts, State
from roadworthy.jobs.workers import WorkerName, WorkerRecord


@dataclass(slots=True)
class Kept:
    """One job."""

    id: int
    new: NewJob
    state: State
    enqueued_at: datetime
    run_at: datetime
    lease: int = 0
    attempt: int = 0
    expires_at: datetime | None = None
    worker: str | None = None
    failures: list[dict[str, Any]] = field(default_factory=list)
    progress: bytes | None = None
    cancel_requested_at: datetime | None = None
    blocked_by: str | None = None
    holds: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[int, datetime, int]:
        """What it is claimed by."""
        return (self.new.priority, self.run_at, self.id)

    @property
    def key(self) -> tuple[str, str] | None:
        """What it is unique by, None without."""
        return None if self.new.unique_key is None else (self.new.job, self.new.unique_key)


class Store:
    """Every job, and who listens for them."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        """`clock` is the backend's clock."""
        self.clock = clock
        self.kept: dict[int, Kept] = {}
        self.ids = itertools.count(1)
        self.listeners: list[asyncio.Queue[str]] = []
        self.workers: dict[WorkerName, WorkerRecord] = {}
        self.pauses: dict[tuple[str, str | None], Pause] = {}
        self._keys: dict[tuple[str, str], tuple[int, datetime | None]] = {}

    def add(self, new: NewJob, id: int, now: datetime) -> bool:
        """Add a job unless another has its unique key; say whether it was added."""
        key = None if new.unique_key is None else (new.job, new.unique_key)
        options = new.options
        outlasts = options.unique_for is not None or options.unique_while == "unresolved"
        if key is not None and (self.taken(key) or (outlasts and self._outlasted(key, now))):
            return False
        if key is not None and options.unique_while == "unresolved":
            self._keys[key] = (id, None)
        elif key is not None and options.unique_for is not None:
            self._keys[key] = (id, now + timedelta(seconds=options.unique_for))
        due = new.run_at or now + (new.delay or timedelta(0))
        self.kept[id] = Kept(id, new, "scheduled" if due > now else "ready", now, max(due, now))
        return True

    def taken(self, key: tuple[str, str]) -> bool:
        """Whether a job that is not dead has the key."""
        return any(kept.key == key and kept.state != "dead" for kept in self.kept.values())

    def _outlasted(self, key: tuple[str, str], now: datetime) -> bool:
        _, until = self._keys.get(key, (0, now))
        return until is None or until > now

    def free(self, kept: Kept) -> None:
        """Let go of the key that a job would have had for longer than it was there."""
        if kept.key is not None and self._keys.get(kept.key, (0, None))[0] == kept.id:
            del self._keys[kept.key]

    def expire(self, kept: Kept) -> None:
        """Have the key of a job that succeeded for as long as its window says."""
        if kept.key is not None and self._keys.get(kept.key, (0, None))[0] == kept.id:
            self._keys[kept.key] = (kept.id, kept.enqueued_at + timedelta(seconds=kept.new.options.unique_for or 0))

    def forget_keys(self, limit: int) -> int:
        """Remove up to `limit` keys whose time is over; return how many."""
        now = self.clock()
        over = [key for key, (_, until) in self._keys.items() if until is not None and until < now][:limit]
        for key in over:
            del self._keys[key]
        return len(over)

    def ready(self, queue: str) -> list[Kept]:
        """Return the ready jobs of a queue in the order of claims."""
        ready = (kept for kept in self.kept.values() if kept.state == "ready" and kept.new.queue == queue)
        return sorted(ready, key=lambda kept: kept.order)

    def blocked(self, name: str) -> list[Kept]:
        """Return the jobs that a limit or a pause has put aside, in the order of claims."""
        blocked = (kept for kept in self.kept.values() if kept.state == "blocked" and kept.blocked_by == name)
        return sorted(blocked, key=lambda kept: kept.order)

    def unblock(self, name: str, count: int) -> int:
        """Make up to `count` of those ready; return how many."""
        first = self.blocked(name)[: max(count, 0)]
        for kept in first:
            kept.state, kept.blocked_by = "ready", None
        self.wake(kept.new.queue for kept in first)
        return len(first)

    def holding(self, id: int, lease: int) -> Kept | None:
        """Return the running job whose lease still is `lease`."""
        kept = self.kept.get(id)
        return kept if kept is not None and kept.state == "running" and kept.lease == lease else None

    def make_ready(self, kept: Kept, run_at: datetime) -> None:
        """Return a job to its queue, under a new lease."""
        kept.lease += 1
        kept.run_at, kept.expires_at = run_at, None
        kept.state = "scheduled" if run_at > self.clock() else "ready"
        self.wake([kept.new.queue])

    def bury(self, kept: Kept, failure: Failure) -> None:
        """Move a job to the dead letters."""
        self.fail(kept, failure)
        kept.state, kept.run_at, kept.expires_at = "dead", self.clock(), None

    def fail(self, kept: Kept, failure: Failure) -> None:
        """Note why an attempt failed."""
        kept.failures.append(
            {
                "attempt": kept.attempt,
                "at": self.clock().isoformat(),
                "worker": kept.worker,
                "error_class": failure.error_class,
                "message": failure.message,
                "traceback": failure.traceback,
            }
        )

    def counts(self) -> list[QueueCounts]:
        """Count the jobs of every queue."""
        counted: list[QueueCounts] = []
        for queue in sorted({kept.new.queue for kept in self.kept.values()}):
            mine = [kept for kept in self.kept.values() if kept.new.queue == queue]
            ready = [kept.run_at for kept in mine if kept.state == "ready"]
            counted.append(
                QueueCounts(
                    queue=queue,
                    scheduled=sum(kept.state == "scheduled" for kept in mine),
                    ready=len(ready),
                    running=sum(kept.state == "running" for kept in mine),
                    dead=sum(kept.state == "dead" for kept in mine),
                    blocked=sum(kept.state == "blocked" for kept in mine),
                    held=sum(kept.state == "held" for kept in mine),
                    oldest_ready_at=min(ready, default=None),
                    overdue=sum(
                        kept.state == "running" and kept.expires_at is not None and kept.expires_at < self.clock()
                        for kept in mine
                    ),
                )
            )
        return counted

    def wake(self, queues: Iterable[str]) -> None:
        """Tell every listener of the queues."""
        for queue in dict.fromkeys(queues):
            for listener in self.listeners:
                listener.put_nowait(queue)
