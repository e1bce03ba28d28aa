"""What people do to jobs, apart from what workers do: look, retry, discard.

`Engine` is the path that jobs take; none of it waits for what is here, and what is here may be slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from roadworthy.jobs.workers import WorkerRecord

State = Literal["scheduled", "ready", "running", "dead", "blocked", "held", "succeeded", "cancelled"]
"""Blocked waits for a limit or a pause to let it, held for other jobs to finish. The last two are those of jobs that
are kept for a time after they ended."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as people see it, with the failures of its earlier attempts, oldest first.

    `run_at` is when it ended, for one that has. `snoozes` counts how often it put itself off. `progress` and `result`
    are JSON. `blocked_by` names the limit or the pause that a blocked one waits for.
    """

    id: int
    state: State
    queue: str
    job: str
    arguments: bytes
    attempt: int
    attempts: int
    priority: int
    unique_key: str | None
    enqueued_at: datetime
    run_at: datetime
    worker: str | None
    failures: tuple[dict[str, Any], ...]
    snoozes: int = 0
    workflow: int | None = None
    encrypted: bool = False
    progress: bytes | None = None
    cancel_requested_at: datetime | None = None
    result: bytes | None = None
    blocked_by: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A queue, or one kind of its jobs, that no worker claims from: since when, by whom and why."""

    queue: str
    job: str | None
    since: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """A queue as it stands; `oldest_ready_at` is when its longest-waiting ready job became ready.

    `overdue` of the running ones are past their lease, and nobody has taken them back yet.
    """

    queue: str
    scheduled: int
    ready: int
    running: int
    dead: int
    blocked: int
    held: int
    oldest_ready_at: datetime | None
    overdue: int = 0


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at one moment, by the backend's clock; `counts` are empty where they were not asked for."""

    at: datetime
    counts: tuple[QueueCounts, ...]
    workers: tuple[WorkerRecord, ...]
    pauses: tuple[Pause, ...]


class Operations(Protocol):
    """Looks after jobs, for people. Found as `engine.operations`.

    A method raises DatabaseUnavailable when the backend cannot be reached; the same call may succeed later.
    """

    async def jobs(
        self,
        *,
        queue: str | None = None,
        job: str | None = None,
        state: State | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> list[JobRecord]:
        """Jobs that match, newest first; `before` is the last id of the page before."""

    async def find(self, id: int) -> JobRecord | None:
        """One job, waiting, running or dead."""

    async def discard(self, ids: Sequence[int]) -> int:
        """Delete dead or waiting jobs for good; return how many there were. A running job is left alone."""

    async def pause(self, queue: str, job: str | None = None, *, by: str = "", reason: str = "") -> bool:
        """Have no more jobs of a queue, or of one kind in it, begin; False if that is so already.

        Those that run finish.
        """

    async def resume(self, queue: str, job: str | None = None) -> bool:
        """End such a pause; False if there was none. Jobs of a kind become ready in the order in which they waited."""

    async def pauses(self) -> list[Pause]:
        """What is paused, by queue and job."""

    async def workers(self) -> list[WorkerRecord]:
        """Who works, or did and vanished within the hour, by name."""

    async def overview(self, *, count: bool = True) -> Overview:
        """Everything at a glance. Counting reads every job: leave it out where that took long a moment ago."""
