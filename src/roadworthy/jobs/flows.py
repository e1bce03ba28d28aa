"""The seam for jobs that belong together, are kept when they end, or are stopped: what the plain path does without.

Found as `engine.flows`. A job leads if others wait for its end. They are held, with an edge for each job that they wait
for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from roadworthy.errors import NoResult
from roadworthy.jobs.engine import JobOptions, NewJob
from roadworthy.jobs.operations import State

When = Literal["succeeded", "finished"]
OnTaken = Literal["refuse", "skip"]


@dataclass(frozen=True, slots=True)
class Member:
    """A job of a workflow. `after` names the members that it waits for by their index, all of them before it.

    `when` says for what of them: for their success, or for their end in success, in the dead letters or cancelled.
    """

    job: NewJob
    after: Sequence[int] = ()
    when: When = "succeeded"


@dataclass(frozen=True, slots=True)
class NewWorkflow:
    """Jobs to be added together, remembered for `keep` after that at least, and as long as one has not ended."""

    name: str
    members: Sequence[Member]
    keep: timedelta
    on_taken: OnTaken = "refuse"


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """A workflow as it stands, its members counted by state.

    `total` leaves out those that were `skipped` because another job has their unique key.
    """

    id: int
    name: str
    added_at: datetime
    total: int
    skipped: int
    cancelled: int
    scheduled: int
    ready: int
    running: int
    blocked: int
    held: int
    dead: int

    @property
    def succeeded(self) -> int:
        """How many members have succeeded: those that are neither there nor cancelled."""
        return self.total - self.cancelled - self.unfinished - self.dead

    @property
    def unfinished(self) -> int:
        """How many members wait or run."""
        return self.scheduled + self.ready + self.running + self.blocked + self.held

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run or to decide: each member has succeeded or was cancelled."""
        return not self.unfinished and not self.dead


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """Where a job has got to, with its result as JSON once it has succeeded, or why it is dead."""

    job: str
    state: State
    result: bytes | None = None
    error_class: str | None = None
    message: str | None = None
    encrypted: bool = False


UNFINISHED: frozenset[State] = frozenset(("scheduled", "ready", "running", "blocked", "held"))
"""The states of jobs that may still succeed by themselves."""


def no_result(job: str, id: int, outcome: JobOutcome | None) -> NoResult:
    """Return why there is no result of a job."""
    named = f"job {job!r} {id}"
    if outcome is None:
        return NoResult(
            f"{named} is not known: it never was, or is not kept, or no longer; declare the job with keep=", "unknown"
        )
    match outcome.state:
        case "dead":
            message = f"{named} is dead, of {outcome.error_class}: {outcome.message}; see `roadworthy jobs show`"
        case "cancelled":
            message = f"{named} was cancelled"
        case "succeeded":
            message = f"{named} succeeded within a transaction of its own, which keeps no result"
        case state:
            message = f"{named} is {state}; wait for it with wait()"
    return NoResult(message, outcome.state)


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A job that another one waited for and that is kept, with its result as JSON."""

    id: int
    job: str
    result: bytes
    options: JobOptions


@dataclass(frozen=True, slots=True)
class Cancellations:
    """What was asked to be cancelled: the (id, lease) of a worker's running jobs, and the ids of jobs not running."""

    running: frozenset[tuple[int, int]] = frozenset()
    waiting: tuple[int, ...] = ()


class Flows(Protocol):
    """Keeps what outlasts single jobs. Errors are those of `Engine`."""

    async def add(self, workflow: NewWorkflow, *, connection: Any | None = None) -> tuple[int, list[int | None]]:
        """Add a workflow in one transaction, the caller's where there is one; return its id and those of its members.

        None stands for a member whose unique key was taken. With `on_taken="refuse"` that raises UniqueKeyTaken and
        nothing is added; with "skip" its successors do not wait for it.
        """

    async def workflow(self, id: int) -> WorkflowState | None:
        """Count the members of a workflow; None for one that is not known, or no longer."""

    async def members(self, id: int) -> list[int]:
        """The members of a workflow that wait, run or are dead."""

    async def outcome(self, id: int) -> JobOutcome | None:
        """Where a job has got to; None for one that never was, or was neither kept nor is dead."""

    async def predecessors(self, id: int) -> list[Predecessor]:
        """The jobs that a job waited for and that are still kept, by id."""

    async def progress(self, id: int, lease: int, progress: bytes) -> bool:
        """Note how far a running job has got, as JSON; False where the lease no longer holds."""

    async def cancel(self, ids: Sequence[int]) -> tuple[int, int]:
        """Cancel jobs; return how many ended so at once, and how many run and were asked to end.

        What waits for the success of a cancelled job is cancelled with it, and counts. Dead ones are left alone. It
        takes effect at once, also inside a transaction of the caller's.
        """

    async def discard(self, ids: Sequence[int]) -> int:
        """Delete waiting or dead jobs and what waits for their success; return how many of `ids` there were."""

    async def cancellations(self, worker: str) -> Cancellations:
        """What there is to cancel for `worker`: its running jobs, and any job that came back since it was asked to end.

        The latter are for `cancel` again.
        """

    async def prune(self, *, limit: int = 1000) -> int:
        """Remove up to `limit` of each of what was kept long enough: finished jobs, unique keys, workflows.

        Return how many of the most numerous, so that `limit` means that there is more.
        """

    async def prune_dead(self, queue: str, older_than: timedelta, *, limit: int = 1000) -> int:
        """Discard up to `limit` jobs of a queue that have been dead for `older_than`; return how many."""
