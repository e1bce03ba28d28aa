"""The handles of queues and jobs."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

from roadworthy.binding import Binding
from roadworthy.errors import NoResult
from roadworthy.handles.host import Host
from roadworthy.jobs.arguments import Arguments, UniqueKey, UniqueWhile
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.enqueue import new_job
from roadworthy.jobs.flows import UNFINISHED, no_result
from roadworthy.jobs.limits import Limit
from roadworthy.jobs.missed import Missed
from roadworthy.jobs.operations import Operations
from roadworthy.jobs.results import ResultType
from roadworthy.jobs.sealing import needed
from roadworthy.jobs.spec import JobSpec, QueueSpec, Upgrade

if TYPE_CHECKING:
    from roadworthy.database.driver import Connection

P = ParamSpec("P")
R = TypeVar("R")

_FIRST_LOOK = 0.02
_LONGEST_LOOK = 1.0


class Declaring(Protocol):
    """Makes a function a job."""

    # A coroutine function is a function as well; the first that fits counts.
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Job[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Job[P, R]: ...


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
        limits: Sequence[Limit] = (),
        unique_while: UniqueWhile = "alive",
        unique_for: timedelta | None = None,
        keep: timedelta | None = None,
        version: int = 1,
        upgrade: Upgrade | None = None,
        encrypted: bool = False,
    ) -> Declaring:
        """Make a function a job of this queue.

        An async function runs on the worker's event loop, a plain one in a thread of the worker, or with `process` in a
        child process: what computes for long belongs there, and can only there be stopped.

        `unique` is a template over its arguments ("{url}"): while a job with that key waits or runs, another is not
        added. `timeout` ends one attempt, by default the queue's. A lower `priority` runs first. `every` or `cron`
        (five fields) make it repeat, once per fire time however many schedulers run. `timezone` names the IANA zone by
        whose clocks `cron` goes. `missed` says which fire times to make up for when no scheduler ran: the `latest`,
        `all` of them (a thousand at most) or none (`skip`). `attempts` overrides the queue's. `limits` say how many of
        it run at once and begin in a time, over all processes, besides the queue's.

        `unique_while` says while what a job has its key: as long as it is `alive`, which is until it ends or dies; as
        long as it is `waiting`, until a worker takes it; or until it is resolved, `unresolved` also while it is dead.
        `unique_for` is for how long after it was enqueued it has the key besides, even if it has ended. `keep` is for
        how long a job is kept after its end, with what it returned. `version` counts the shapes that its arguments have
        had, and `upgrade(version, arguments)` turns those of an earlier one into this one's. `encrypted` keeps what it
        is given and returns from whoever reads the database.
        """

        def declare(function: Callable[..., Any]) -> Any:
            arguments = Arguments.of(function)
            templates = dict.fromkeys(limit.per for limit in (*self.spec.limits, *limits) if limit.per is not None)
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
                limits=tuple(limits),
                limit_keys=tuple(UniqueKey(template, arguments, "per") for template in templates),
                unique_while=unique_while,
                unique_for=unique_for,
                keep=keep,
                returns=ResultType() if keep is None else ResultType.of(function),
                version=version,
                upgrade=upgrade,
                encrypted=encrypted,
                runs="process" if process else "loop" if inspect.iscoroutinefunction(function) else "thread",
            )
            self._service.declared.add("job", spec)
            return Job(self._service, spec)

        return declare

    async def pause(self, *, by: str = "", reason: str = "") -> bool:
        """Have no more of its jobs begin, anywhere, until it is resumed; those that run finish.

        `by` and `reason` are for people to read. Return False if it is paused already.
        """
        return await self._operations.pause(self.spec.name, by=by, reason=reason)

    async def resume(self) -> bool:
        """End its pause; return False if there was none."""
        return await self._operations.resume(self.spec.name)

    @property
    def _operations(self) -> Operations:
        return self._service.binding(f"queue {self.spec.name!r}").engine.operations


@dataclass(frozen=True, slots=True)
class EnqueueOptions:
    """How the next enqueue differs from the job's declaration."""

    delay: timedelta | None = None
    run_at: datetime | None = None
    priority: int | None = None
    connection: Connection | None = None


class Job(Generic[P, R]):
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
    ) -> Job[P, R]:
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

    async def pause(self, *, by: str = "", reason: str = "") -> bool:
        """Have no more jobs of this kind begin, as `Queue.pause` does for all of a queue."""
        return await self._binding.engine.operations.pause(self.spec.queue, self.spec.name, by=by, reason=reason)

    async def resume(self) -> bool:
        """End the pause of this kind; return False if there was none."""
        return await self._binding.engine.operations.resume(self.spec.queue, self.spec.name)

    def _new(self, bound: dict[str, Any]) -> NewJob:
        options = self._options
        return new_job(
            self.spec,
            bound,
            priority=options.priority,
            delay=options.delay,
            run_at=options.run_at,
            keys=self._binding.keys,
        )

    def prepared(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """Return what `enqueue` would add, for a workflow to add; raise as it does."""
        return self._new(self.spec.arguments.bind(*args, **kwargs))

    async def result(self, id: int) -> R:
        """Return what a job that is kept returned.

        Raises:
            NoResult: it has none; the error's `state` says why.
        """
        outcome = await self._binding.engine.flows.outcome(id)
        if outcome is not None and outcome.job != self.name:
            outcome = None
        if outcome is None or outcome.result is None or outcome.state != "succeeded":
            raise no_result(self.name, id, outcome)
        clear = outcome.result
        if outcome.encrypted:
            clear = needed(self._binding.keys, self.name).open(self.name, clear)
        value: R = self.spec.returns.decode(clear)
        return value

    async def wait(self, id: int, *, timeout: timedelta) -> R:
        """Return what a job that is kept returns, as soon as it has.

        Raises:
            TimeoutError: it has not ended within `timeout`.
            NoResult: it will have none; the error's `state` says why.
        """
        pause = _FIRST_LOOK
        async with asyncio.timeout(timeout.total_seconds()):
            while True:
                try:
                    return await self.result(id)
                except NoResult as missing:
                    if missing.state not in UNFINISHED:
                        raise
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_LOOK)

    async def cancel(self, *ids: int) -> int:
        """Cancel jobs, at once; return how many were waiting, or run and end within a second or so.

        A running one is cancelled as a task is; a plain function sees `current_job().cancelled`, and a child process is
        ended. What waits in a workflow for the success of a cancelled job is cancelled, too.
        """
        ended, asked = await self._binding.engine.flows.cancel(ids)
        return ended + asked

    @property
    def _binding(self) -> Binding:
        return self._service.binding(f"job {self.spec.name!r}")

    async def _add(self, jobs: list[NewJob]) -> list[int | None]:
        connection: Any = self._options.connection
        if connection is not None:
            return await self._binding.engine.enqueue(jobs, connection=connection)
        return await self._binding.engine.enqueue(jobs)
