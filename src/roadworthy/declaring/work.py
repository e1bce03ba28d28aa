"""What a service declares of queues, workflows and dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from roadworthy.declaring.base import Declaring
from roadworthy.duration import days, minutes, seconds
from roadworthy.errors import DeclarationError
from roadworthy.handles.dead_letters import DeadLetters
from roadworthy.handles.jobs import Queue
from roadworthy.handles.workflows import Workflow
from roadworthy.jobs.flows import OnTaken, WorkflowState
from roadworthy.jobs.limits import Limit
from roadworthy.jobs.spec import Backoff, QueueSpec
from roadworthy.scaling.spec import Scaling

if TYPE_CHECKING:
    from roadworthy.database.driver import Connection


_SCALE_IN_AFTER = minutes(5)


class Work(Declaring):
    """Declares queues, workflows and dead letters."""

    def queue(
        self,
        name: str,
        *,
        attempts: int = 5,
        lease: timedelta = minutes(1),
        workers: int | tuple[int, int] = (1, 1),
        concurrency: int = 10,
        target_latency: timedelta = seconds(30),
        backoff: Backoff | None = None,
        scale_in_after: timedelta = _SCALE_IN_AFTER,
        timeout: timedelta | None = None,
        limits: Sequence[Limit] = (),
        scaling: Scaling | None = None,
        keep_dead: timedelta | None = None,
    ) -> Queue:
        """Declare a queue of jobs.

        `attempts` is how often a job is tried before it goes to the dead letters, `lease` how long a claim lasts when a
        worker no longer renews it, `workers` the number of worker processes or its bounds, `concurrency` how many jobs
        one of them runs at once, `target_latency` in what time a job should start, `backoff` how long a failed
        one waits, `scale_in_after` how long fewer workers must have been enough before one goes, `timeout` what ends an
        attempt of any job that declares none of its own, `limits` how many of its jobs run at once and begin in a time,
        over all processes, `scaling` by what else the number of workers goes than by the latency, `keep_dead` for how
        long dead letters are kept, for ever without.
        """
        bounds = (workers, workers) if isinstance(workers, int) else workers
        backoff = backoff or Backoff()
        spec = QueueSpec(
            name,
            attempts,
            lease,
            bounds,
            concurrency,
            target_latency,
            backoff,
            scale_in_after,
            timeout=timeout,
            limits=tuple(limits),
            keep_dead=keep_dead,
        )
        if scaling is not None:
            _check_scaling(spec, scaling)
            self._scaling[name] = scaling
        self.declared.add("queue", spec)
        return Queue(self, spec)

    def workflow(
        self,
        name: str,
        *,
        keep: timedelta = days(7),
        on_taken: OnTaken = "refuse",
        connection: Connection | None = None,
    ) -> Workflow:
        """Begin a workflow: an `async with` in which jobs are added that wait for each other.

        It is remembered for `keep` at least, and until its members have ended. A member whose unique key another job
        has is an error, or with `on_taken="skip"` left out. `connection` is one whose transaction is to carry the jobs,
        where that is not the calling task's current one.
        """
        return Workflow(self, name, keep, on_taken, connection)

    async def find_workflow(self, id: int) -> WorkflowState | None:
        """Count the members of a workflow by state; None for one that is not known, or no longer."""
        return await self.binding(f"workflow {id}").engine.flows.workflow(id)

    async def cancel_workflow(self, id: int) -> int:
        """Cancel the members of a workflow that wait or run; return how many. Dead ones stay."""
        flows = self.binding(f"workflow {id}").engine.flows
        ended, asked = await flows.cancel(await flows.members(id))
        return ended + asked

    @property
    def dead_letters(self) -> DeadLetters:
        """The service's dead jobs, to look at, retry or discard."""
        return DeadLetters(self)


def _check_scaling(queue: QueueSpec, scaling: Scaling) -> None:
    fewest, most = queue.workers
    if fewest == most:
        raise DeclarationError(
            f"queue {queue.name!r} has scaling= but workers={most}; give it bounds, as in (1, {most})"
        )
    if scaling.down is not None and queue.scale_in_after != _SCALE_IN_AFTER:
        raise DeclarationError(
            f"queue {queue.name!r} has scale_in_after= and rules downwards; say it in their window= alone"
        )
