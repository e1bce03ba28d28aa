"""The handles of queues and jobs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

from roadworthy.handles.host import Host
from roadworthy.jobs.arguments import Arguments, UniqueKey
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.enqueue import new_job
from roadworthy.jobs.missed import Missed
from roadworthy.jobs.spec import JobSpec, QueueSpec

if TYPE_CHECKING:
    from roadworthy.database.driver import Connection

P = ParamSpec("P")


class Queue:
    """The handle of a queue: its `job` makes a function one of its jobs."""

    def __init__(self, service: Host, spec: QueueSpec) -> None:
        """Declared with `Service.queue`."""
        self.spec = spec
        self._service = service

    def job(
        self,
        *,
        unique: str | None = None,
        timeout: timedelta | None = None,
        priority: int = 0,
        every: timedelta | None = None,
        cron: str | None = None,
        timezone: str = "UTC",
        missed: Missed = "latest",
        attempts: int | None = None,
        process: bool = False,
    ) -> Callable[[Callable[P, Any]], Job[P]]:
        """Make a function a job of this queue.

        An async function runs on the worker's event loop, a plain one in a thread of the worker, or with `process` in a
        child process: what computes for long belongs there, and can only there be stopped.

        `unique` is a template over its arguments ("{url}"): while a job with that key waits or runs, another is not
        added. `timeout` ends one attempt, by default the queue's. A lower `priority` runs first. `every` or `cron`
        (five fields) make it repeat, once per fire time however many schedulers run. `timezone` names the IANA zone by
        whose clocks `cron` goes. `missed` says which fire times to make up for when no scheduler ran: the `latest`,
        `all` of them (a thousand at most) or none (`skip`). `attempts` overrides the queue's.
        """

        def declare(function: Callable[P, Any]) -> Job[P]:
            arguments = Arguments.of(function)
            spec = JobSpec(
                name=function.__name__,
                queue=self.spec.name,
                function=function,
                arguments=arguments,
                unique=None if unique is None else UniqueKey(unique, arguments),
                timeout=self.spec.timeout if timeout is None else timeout,
                priority=priority,
                every=every,
                cron=cron,
                timezone=timezone,
                missed=missed,
                attempts=self.spec.attempts if attempts is None else attempts,
                runs="process" if process else "loop" if inspect.iscoroutinefunction(function) else "thread",
            )
            self._service.declared.add("job", spec)
            return Job(self._service, spec)

        return declare


@dataclass(frozen=True, slots=True)
class EnqueueOptions:
    """How the next enqueue differs from the job's declaration."""

    delay: timedelta | None = None
    run_at: datetime | None = None
    priority: int | None = None
    connection: Connection | None = None


class Job(Generic[P]):
    """The handle of a job. Calling it runs the function here and now; `enqueue` has a worker run it."""

    def __init__(self, service: Host, spec: JobSpec, options: EnqueueOptions | None = None) -> None:
        """Declared with `Queue.job`."""
        self.spec = spec
        self._service = service
        self._options = options or EnqueueOptions()

    @property
    def name(self) -> str:
        """The job's name, its function's."""
        return self.spec.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the function directly, as in a test."""
        return self.spec.function(*args, **kwargs)

    def with_options(
        self,
        *,
        delay: timedelta | None = None,
        run_at: datetime | None = None,
        priority: int | None = None,
        connection: Connection | None = None,
    ) -> Job[P]:
        """Return this job with other options for `enqueue`.

        `delay` counts from the database's now; `run_at` is a moment with a time zone. `connection` is one whose
        transaction is to carry the job, where that is not the calling task's current one.
        """
        if run_at is not None and run_at.tzinfo is None:
            raise ValueError(f"run_at={run_at.isoformat()} has no time zone; pass one, as in datetime.now(UTC)")
        if delay is not None and run_at is not None:
            raise ValueError("delay= and run_at= both say when; pass one of them")
        if delay is not None and delay < timedelta(0):
            raise ValueError(f"delay={delay} is negative; pass a duration of 0 or more")
        return Job(
            self._service,
            self.spec,
            replace(self._options, delay=delay, run_at=run_at, priority=priority, connection=connection),
        )

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> int | None:
        """Add the job, in the transaction that the calling task is in; it runs once that has committed.

        Return its id, or None where a job with the same unique key waits or runs already. Raise `InvalidArguments`
        where the function does not take the arguments.
        """
        (id,) = await self._add([self._new(self.spec.arguments.bind(*args, **kwargs))])
        return id

    async def enqueue_many(self, arguments: Iterable[Mapping[str, Any]]) -> list[int | None]:
        """Add one job for each mapping of arguments, in one statement; return ids as `enqueue` does, in order."""
        return await self._add([self._new(self.spec.arguments.bind(**one)) for one in arguments])

    def _new(self, bound: dict[str, Any]) -> NewJob:
        options = self._options
        return new_job(self.spec, bound, priority=options.priority, delay=options.delay, run_at=options.run_at)

    async def _add(self, jobs: list[NewJob]) -> list[int | None]:
        binding = self._service.binding(f"job {self.spec.name!r}")
        connection: Any = self._options.connection
        if connection is not None:
            return await binding.engine.enqueue(jobs, connection=connection)
        return await binding.engine.enqueue(jobs)
