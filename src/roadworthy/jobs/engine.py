"""The seam between jobs and where they are kept: one Protocol, behind which every backend behaves the same.

Time is the backend's own clock everywhere: a worker whose clock is wrong claims, loses and completes like any other.
A lease is a number that only grows; each claim draws a new one, and whatever a worker says of a job counts only while
the job still carries the lease that the worker was given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from roadworthy.jobs.arguments import UniqueWhile
from roadworthy.jobs.dead_letters import DeadLetters
from roadworthy.jobs.limits import LimitRule
from roadworthy.jobs.operations import Operations, QueueCounts
from roadworthy.jobs.workers import WorkerName, WorkerReport

if TYPE_CHECKING:
    from roadworthy.jobs.flows import Flows

REPLACED_AFTER = timedelta(minutes=5)
"""For how long another definition of a schedule must have been seen alone to have taken the place of this one."""


class JobOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What few jobs have, kept with the job as JSON.

    `version` is that of the arguments' shape, `keep` for how many seconds the finished job is kept with its result,
    `limit_keys` what its limits by key count it under, by their templates, `fire_time` when its schedule was due, in
    the schedule's time zone. `unique_while` and `unique_for` (seconds from the enqueue) say how long it has its unique
    key, `snoozes` how often it was put off by itself, `workflow` of which workflow it is a member, `encrypted` that its
    arguments and its result are.
    """

    version: int = 1
    keep: float | None = None
    limit_keys: dict[str, str] = msgspec.field(default_factory=dict)
    fire_time: datetime | None = None
    unique_while: UniqueWhile = "alive"
    unique_for: float | None = None
    snoozes: int = 0
    workflow: int | None = None
    encrypted: bool = False


PLAIN = JobOptions()


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be added. `arguments` is a JSON object; `delay` counts from the backend's now and yields to `run_at`.

    `context` travels with the job into its log lines, as the id of the request that enqueued it.
    """

    queue: str
    job: str
    arguments: bytes
    attempts: int
    priority: int = 0
    unique_key: str | None = None
    delay: timedelta | None = None
    run_at: datetime | None = None
    context: Mapping[str, str] | None = None
    options: JobOptions = PLAIN


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job in a worker's hand. `attempt` counts from 1; `lease` fences everything said of it.

    `waited` is for how many seconds it had been ready, by the backend's clock.
    """

    id: int
    lease: int
    queue: str
    job: str
    arguments: bytes
    attempt: int
    attempts: int
    waited: float
    context: Mapping[str, str] | None = None
    options: JobOptions = PLAIN

    @property
    def fire_time(self) -> datetime | None:
        """When its schedule was due, in the schedule's time zone; None for a job that somebody enqueued."""
        return self.options.fire_time


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed: the exception's class name, its message and its traceback."""

    error_class: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Done:
    """The attempt succeeded, with a result in JSON where the job is kept.

    `plain` vouches that nobody waits for it, that it is not kept, and that it has no key when it is dead: it need only
    be deleted.
    """

    id: int
    lease: int
    result: bytes | None = None
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed and another is due after `delay`."""

    id: int
    lease: int
    delay: timedelta
    failure: Failure


@dataclass(frozen=True, slots=True)
class Bury:
    """The last attempt failed: the job goes to the dead letters."""

    id: int
    lease: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Release:
    """The attempt was not begun, or was cut short by a drain: the job is ready again and the attempt does not count."""

    id: int
    lease: int


@dataclass(frozen=True, slots=True)
class Postpone:
    """The job asked for another attempt after `delay`; this one does not count, and did not fail."""

    id: int
    lease: int
    delay: timedelta


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The attempt was cut short because somebody cancelled the job."""

    id: int
    lease: int


Outcome = Done | Retry | Bury | Release | Postpone | Cancelled


@dataclass(frozen=True, slots=True)
class Rescued:
    """A job whose lease ran out: ready again, or buried after its last attempt."""

    id: int
    queue: str
    job: str
    attempt: int
    worker: str
    buried: bool


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule under one definition: since when that holds, when it was last noted, and the latest fire time."""

    schedule: str
    definition: str
    since: datetime
    seen_at: datetime
    last_fire: datetime | None


class Engine(Protocol):
    """Keeps jobs. Every method takes at most its own time-out and is safe to cancel.

    A method raises DatabaseUnavailable when the backend cannot be reached; the same call may succeed later.
    """

    @property
    def operations(self) -> Operations:
        """What people do to its jobs."""

    @property
    def dead_letters(self) -> DeadLetters:
        """What people do to its dead jobs."""

    @property
    def flows(self) -> Flows:
        """What outlasts its single jobs."""

    async def enqueue(self, jobs: Sequence[NewJob], *, connection: Any | None = None) -> list[int | None]:
        """Add jobs, in the caller's transaction if `connection` is given or one is current.

        Return an id each, in order; None where the unique key of another waiting or running job was taken.
        """

    async def claim(
        self, queue: str, *, limit: int, lease: timedelta, worker: str, limits: Sequence[LimitRule] = ()
    ) -> list[ClaimedJob]:
        """Lease up to `limit` ready jobs, lowest priority number first, then the longest ready.

        Each takes a slot of every one of `limits` that applies to it, until the lease ends. Jobs that a limit or a
        pause refuses become blocked, and ready again when it lets them.
        """

    async def mend(self, queues: Sequence[str], limits: Sequence[LimitRule]) -> None:
        """Put limits right: as now declared for the jobs of `queues`, in agreement with what runs, jobs blocked by none
        that has room. Called now and then.
        """

    async def complete(self, outcomes: Sequence[Outcome]) -> set[int]:
        """Apply outcomes whose lease still holds; return the ids that were fenced off."""

    def finishing(self, id: int, lease: int) -> AbstractAsyncContextManager[Any]:
        """Open a transaction of the backend, if it has any, that ends the job successfully as it commits.

        Raise LeaseLost at the end of the block, rolling back, where the lease no longer holds.
        """

    async def heartbeat(self, leases: Sequence[tuple[int, int]], *, lease: timedelta) -> set[int]:
        """Extend the (id, lease) pairs by `lease` from now; return the ids that are no longer held."""

    async def promote(self, *, limit: int = 1000) -> timedelta | None:
        """Make up to `limit` due jobs ready, longest due first; return how long until the next, None without one."""

    async def rescue(self, *, limit: int = 1000) -> list[Rescued]:
        """Give jobs whose lease ran out another attempt at once, or bury them after their last."""

    async def note_schedule(self, schedule: str, definition: str, now: datetime) -> datetime:
        """Note that a schedule is declared so, and return the moment after which its fire times are still to come.

        That is its last fire time or, if later, since when the definition holds: since it was first seen, or seen again
        after another had taken its place (`REPLACED_AFTER`). `now` is what the engine's clock said.
        """

    async def fire(self, schedule: str, fire_time: datetime, job: NewJob) -> bool:
        """Enqueue a scheduled job once per (schedule, fire time); False if that one, or a later one, was fired."""

    async def schedules(self) -> list[ScheduleRecord]:
        """Every schedule as it was noted, by name."""

    async def forget_schedules(self, before: datetime) -> None:
        """Forget definitions not seen since `before`, and the fires of schedules that have none left."""

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Yield the name of a queue when it may have become ready; a hint that may be lost, never a promise."""

    async def now(self) -> datetime:
        """The backend's clock."""

    async def counts(self) -> list[QueueCounts]:
        """Every queue that holds a job, by name."""

    async def report_worker(self, worker: WorkerName, report: WorkerReport, *, up: timedelta, consumes: bool) -> None:
        """Keep what a worker tells of itself, `up` being for how long it has worked; `operations.workers` tells it."""

    async def forget_worker(self, worker: WorkerName) -> None:
        """Forget a worker that ends."""

    async def close(self) -> None:
        """Let go of what the engine itself holds."""
