"""Run a service's jobs in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

from roadworthy.binding import Binding
from roadworthy.database.queries import load_queries
from roadworthy.duration import seconds
from roadworthy.jobs.engine import Bury, ClaimedJob, Engine, NewJob, Outcome, Retry
from roadworthy.jobs.flows import Flows, NewWorkflow
from roadworthy.jobs.worker import Worker
from roadworthy.service import Service

_POLL = seconds(0.01)
_INLINE_TIMEOUT = seconds(30)


@dataclass(frozen=True, slots=True)
class JobFailure:
    """An attempt that failed; `dead` says that it was the job's last."""

    job: str
    id: int
    attempt: int
    error_class: str
    message: str
    traceback: str
    dead: bool


class JobFailed(AssertionError):
    """A job that ran inline failed; `failure` is why."""

    def __init__(self, failure: JobFailure) -> None:
        """Show the job's own traceback."""
        super().__init__(f"job {failure.job!r} failed in attempt {failure.attempt}:\n{failure.traceback}")
        self.failure = failure


async def drain(
    service: Service, *, with_scheduled: bool = False, timeout: timedelta = seconds(30)
) -> list[JobFailure]:
    """Run the service's jobs here until none is ready or running, those included that they enqueue in turn.

    A failed job's retry, as any scheduled job, is left to its time; `with_scheduled` runs those at once, too. Return
    the attempts that failed, in order.

    Raises:
        TimeoutError: jobs are left after `timeout`.
    """
    binding = service.binding("testing.drain")
    engine = binding.engine
    return await _drain(service, engine.plain if isinstance(engine, _Inline) else engine, with_scheduled, timeout)


async def advance(service: Service, by: timedelta) -> None:
    """Let time pass for scheduled jobs: those due within `by` are due now, the others so much sooner."""
    binding = service.binding("testing.advance")
    await binding.pool.execute(_sql("advance_jobs"), by)
    while await binding.engine.promote() == timedelta(0):
        pass


def inline(service: Service, binding: Binding) -> Binding:
    """Return `binding` with an engine that runs jobs as they are enqueued."""
    return replace(binding, engine=cast(Engine, _Inline(service, binding)))


class _Watched:
    """An engine whose claims and completions are looked at."""

    def __init__(self, engine: Engine) -> None:
        self.plain = engine
        self.failures: list[JobFailure] = []
        self._claimed: dict[int, ClaimedJob] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    async def claim(self, queue: str, **how: Any) -> list[ClaimedJob]:
        jobs = await self.plain.claim(queue, **how)
        self._claimed |= {job.id: job for job in jobs}
        return jobs

    async def complete(self, outcomes: Sequence[Outcome]) -> set[int]:
        for outcome in outcomes:
            if isinstance(outcome, Retry | Bury):
                job, failure = self._claimed[outcome.id], outcome.failure
                self.failures.append(
                    JobFailure(
                        job.job,
                        job.id,
                        job.attempt,
                        failure.error_class,
                        failure.message,
                        failure.traceback,
                        isinstance(outcome, Bury),
                    )
                )
        return await self.plain.complete(outcomes)


class _Inline:
    """An engine that runs what it was given, at once or when the current transaction has committed."""

    def __init__(self, service: Service, binding: Binding) -> None:
        self.plain = binding.engine
        self._service = service
        self._pool = binding.pool
        self._running = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    async def enqueue(self, jobs: Sequence[NewJob], *, connection: Any | None = None) -> list[int | None]:
        ids = await self.plain.enqueue(jobs, connection=connection)
        await self.soon(connection)
        return ids

    @property
    def flows(self) -> _InlineFlows:
        return _InlineFlows(self.plain.flows, self.soon)

    async def soon(self, connection: Any | None) -> None:
        if self._pool.current() is not None:
            self._pool.after_commit(self._run)
        elif connection is None or not connection.is_in_transaction():
            await self._run()

    async def _run(self) -> None:
        if self._running:
            # Enqueued by a job that runs inline: whoever runs that one goes on with this one.
            return
        self._running = True
        try:
            failures = await _drain(self._service, self.plain, False, _INLINE_TIMEOUT)
        finally:
            self._running = False
        if failures:
            raise JobFailed(failures[0])


class _InlineFlows:
    """Workflows that begin as they are added."""

    def __init__(self, plain: Flows, soon: Callable[[Any | None], Awaitable[None]]) -> None:
        self._plain = plain
        self._soon = soon

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    async def add(self, workflow: NewWorkflow, *, connection: Any | None = None) -> tuple[int, list[int | None]]:
        added = await self._plain.add(workflow, connection=connection)
        await self._soon(connection)
        return added


async def _drain(service: Service, engine: Engine, with_scheduled: bool, timeout: timedelta) -> list[JobFailure]:
    binding = service.binding("testing.drain")
    spec = service.spec
    watched = _Watched(engine)
    worker = Worker(
        cast(Engine, watched),
        spec.jobs,
        spec.queues,
        name="test",
        metrics=binding.metrics,
        poll=_POLL,
        keys=binding.keys,
    )
    stop = asyncio.Event()
    async with asyncio.timeout(timeout.total_seconds()), asyncio.TaskGroup() as group:
        group.create_task(worker.run(stop, seconds(0)))
        while any(
            counts.ready or counts.running or (with_scheduled and counts.scheduled) for counts in await engine.counts()
        ):
            if with_scheduled:
                await binding.pool.execute(_sql("hasten_jobs"))
            await asyncio.sleep(_POLL.total_seconds())
        stop.set()
    return watched.failures


def _sql(name: str) -> str:
    return load_queries("roadworthy.testing")[name]
