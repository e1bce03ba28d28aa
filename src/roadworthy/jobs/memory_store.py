"""Jobs in this process's memory, as the engine and the operations share them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from roadworthy.jobs.engine import Failure, NewJob
from roadworthy.jobs.operations import State


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

    def taken(self, key: tuple[str, str]) -> bool:
        """Whether a job that is not dead has the key."""
        return any(kept.key == key and kept.state != "dead" for kept in self.kept.values())

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

    def wake(self, queues: Iterable[str]) -> None:
        """Tell every listener of the queues."""
        for queue in dict.fromkeys(queues):
            for listener in self.listeners:
                listener.put_nowait(queue)
