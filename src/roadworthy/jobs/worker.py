"""Runs jobs: claims them in batches, runs each in its own task, and reports in batches how they ended.

    run ── one loop per queue: claim → Lane.waiting → a task per job → outcomes
        ── report: outcomes → engine.complete, whatever gathered while the last batch was on its way
        ── renew: one heartbeat for everything held
        ── tend: make due jobs ready, take back what dead workers held, return what was taken too early
        ── listen: wake the claim loops

Time that matters to others (leases, due times) is the engine's; the clock here only paces the loops.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context, copy_context
from datetime import timedelta
from typing import TypeVar

from roadworthy.errors import DatabaseUnavailable, DeclarationError
from roadworthy.jobs.current import CURRENT
from roadworthy.jobs.engine import Bury, ClaimedJob, Done, Engine, Failure, Outcome, Release, Retry
from roadworthy.jobs.failure import failure_of
from roadworthy.jobs.lane import Cut, Held, Lane
from roadworthy.jobs.metrics import Result
from roadworthy.jobs.record import Record
from roadworthy.jobs.retry import delay_after
from roadworthy.jobs.spec import JobSpec, QueueSpec
from roadworthy.telemetry.logging import CONTEXT, get_logger
from roadworthy.telemetry.registry import MetricRegistry

T = TypeVar("T")

log = get_logger(__name__)

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_HELD_AHEAD_AT_MOST = 1.0
_LAST_CLAIM_AT_MOST = 5.0
_AFTER_CANCEL = 5.0
_REPORT_AT_MOST = 10.0
_LARGEST_REPORT = 1000


class Worker:
    """Works on some queues in this process until it is told to stop."""

    def __init__(
        self,
        engine: Engine,
        jobs: Iterable[JobSpec],
        queues: Sequence[QueueSpec],
        *,
        name: str,
        metrics: MetricRegistry,
        poll: timedelta = timedelta(seconds=1),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`name` tells people which process held a job. `poll` is the longest an idle queue goes unlooked at.

        `clock` counts seconds monotonically, `wall_clock` is Unix time (for one gauge), `jitter` draws from 0 up to 1.
        """
        if not queues:
            raise DeclarationError(f"worker {name!r} was given no queue; declare one with service.queue()")
        self.name = name
        self._engine = engine
        self._jobs = {spec.name: spec for spec in jobs}
        self._lanes = {queue.name: Lane(queue) for queue in queues}
        self._record = Record(metrics, name)
        self._poll = poll.total_seconds()
        self._clock = clock
        self._wall_clock = wall_clock
        self._jitter = jitter
        self._held: dict[int, Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._outcomes: list[tuple[Held, Outcome]] = []
        self._reportable = asyncio.Event()
        self._context: Context = Context()
        self._stopping = False

    async def run(self, stop: asyncio.Event, grace: timedelta = timedelta(seconds=30)) -> None:
        """Work until `stop` is set, then drain.

        Draining takes no more jobs, returns those not begun at once, lets running ones finish within `grace`, cancels
        and returns the rest. Raises nothing that a job raises; survives the loss of the database.
        """
        self._context = copy_context()
        log.info("worker started", worker=self.name, queues=list(self._lanes))
        async with asyncio.TaskGroup() as group:
            claiming = [group.create_task(self._claim(lane)) for lane in self._lanes.values()]
            serving = [
                group.create_task(loop) for loop in (self._report(), self._renew(), self._tend(), self._listen())
            ]
            try:
                await stop.wait()
                self._stopping = True
                self._wake_all()
                await self._end_claims(claiming)
                await self._drain(grace)
            finally:
                for task in (*serving, *self._tasks):
                    task.cancel()
        log.info("worker stopped", worker=self.name)

    async def _claim(self, lane: Lane) -> None:
        """Keep `lane` supplied."""
        pause = _FIRST_PAUSE
        while not self._stopping:
            lane.wake.clear()
            wanted = lane.appetite()
            if wanted == 0:
                await self._wait(lane, self._poll)
                continue
            try:
                jobs = await self._engine.claim(lane.queue.name, limit=wanted, lease=lane.lease, worker=self.name)
            except DatabaseUnavailable as error:
                log.warning("cannot claim jobs", queue=lane.queue.name, reason=str(error), again_in=round(pause, 2))
                await self._wait(lane, pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            now = lane.claimed_at = self._clock()
            for job in jobs:
                held = self._held[job.id] = Held(job, lane, now)
                lane.waiting.append(held)
                self._record.waited(job)
            self._start(lane)
            lane.exhausted = len(jobs) < wanted
            if lane.exhausted:
                await self._wait(lane, self._poll)

    async def _end_claims(self, claiming: Sequence[asyncio.Task[None]]) -> None:
        """Let claims on their way arrive, so that their jobs are returned now, not when their leases run out."""
        _, late = await asyncio.wait(claiming, timeout=_LAST_CLAIM_AT_MOST)
        for task in late:
            task.cancel()

    async def _wait(self, lane: Lane, longest: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await lane.wake.wait()

    def _start(self, lane: Lane) -> None:
        """Fill the free slots of `lane` with waiting jobs."""
        loop = asyncio.get_running_loop()
        while lane.waiting and lane.free > 0 and not self._stopping:
            held = lane.waiting.popleft()
            lane.running += 1
            task = loop.create_task(self._attempt(held), context=self._context.copy())
            held.task = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _attempt(self, held: Held) -> None:
        """Run one attempt to its end, whatever that is, and note the outcome."""
        job, lane = held.job, held.lane
        CURRENT.set(job)
        CONTEXT.set(
            {
                **CONTEXT.get({}),
                **(job.context or {}),
                "queue": job.queue,
                "job": job.job,
                "job_id": job.id,
                "attempt": job.attempt,
            }
        )
        started = self._clock()
        outcome: Outcome | None
        try:
            await self._call(job)
            outcome = Done(job.id, job.lease)
        except asyncio.CancelledError as error:
            outcome = self._cut_short(held, error)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            # SystemExit, too: a job that gives up is a failed job, not a worker that was told to stop.
            outcome = self._failed(job, failure_of(error))
        finally:
            lane.running -= 1
            held.finished = True
        took = self._clock() - started
        lane.ran(took)
        self._record.ran(job, took)
        if outcome is None:
            self._held.pop(job.id, None)
        else:
            self._outcomes.append((held, outcome))
            self._reportable.set()
        if lane.waiting:
            self._start(lane)
        if not lane.exhausted and not lane.wake.is_set() and lane.appetite() > 0:
            lane.wake.set()

    async def _call(self, job: ClaimedJob) -> None:
        spec = self._jobs.get(job.job)
        if spec is None:
            raise LookupError(
                f"no job {job.job!r} is declared in this service; deploy the version that has it, or discard the job"
            )
        arguments = spec.arguments.decode(job.arguments)
        if spec.timeout is None:
            await spec.function(**arguments)
            return
        try:
            async with asyncio.timeout(spec.timeout.total_seconds()) as scope:
                await spec.function(**arguments)
        except TimeoutError as error:
            if scope.expired():
                raise TimeoutError(f"the attempt took longer than its timeout of {spec.timeout}") from error
            raise

    def _cut_short(self, held: Held, error: asyncio.CancelledError) -> Outcome | None:
        job = held.job
        match held.cut:
            case "drain":
                return Release(job.id, job.lease)
            case "lease lost":
                self._fenced(job, "it was cancelled when its lease was found lost")
                return None
        return self._failed(job, failure_of(error))

    def _failed(self, job: ClaimedJob, failure: Failure) -> Outcome:
        if job.attempt >= job.attempts:
            log.error(
                "job failed for the last time",
                error_class=failure.error_class,
                error=failure.message,
                traceback=failure.traceback,
            )
            return Bury(job.id, job.lease, failure)
        lane = self._lanes[job.queue]
        delay = delay_after(lane.queue.backoff, job.attempt, self._jitter())
        log.warning(
            "job failed",
            error_class=failure.error_class,
            error=failure.message,
            again_in_seconds=round(delay.total_seconds(), 2),
        )
        return Retry(job.id, job.lease, delay, failure)

    def _fenced(self, job: ClaimedJob, why: str) -> None:
        log.warning("lease lost", job=job.job, job_id=job.id, queue=job.queue, attempt=job.attempt, reason=why)
        self._record.finished(job, "fenced")

    async def _report(self) -> None:
        """Send outcomes as they come; what comes while a batch is on its way makes the next."""
        while True:
            await self._reportable.wait()
            self._reportable.clear()
            while self._outcomes:
                batch = self._outcomes[:_LARGEST_REPORT]
                del self._outcomes[:_LARGEST_REPORT]
                await self._send(batch)

    async def _send(self, batch: list[tuple[Held, Outcome]]) -> None:
        outcomes = [outcome for _, outcome in batch]
        fenced = await self._persist(lambda: self._engine.complete(outcomes), "report outcomes")
        counts: dict[tuple[str, str, Result], int] = defaultdict(int)
        for held, outcome in batch:
            job = held.job
            self._held.pop(job.id, None)
            if job.id in fenced:
                self._fenced(job, "its completion was rejected: the job is no longer this worker's")
            else:
                counts[job.queue, job.job, _RESULTS[type(outcome)]] += 1
        self._record.finished_many(counts)

    async def _renew(self) -> None:
        """Renew every lease held, three times within the shortest."""
        interval = min(lane.lease for lane in self._lanes.values()).total_seconds() / 3
        while True:
            await asyncio.sleep(interval)
            by_lease: dict[timedelta, list[tuple[int, int]]] = defaultdict(list)
            for held in self._held.values():
                by_lease[held.lane.lease].append((held.job.id, held.job.lease))
            for lease, leases in by_lease.items():
                await self._renew_some(lease, leases)

    async def _renew_some(self, lease: timedelta, leases: list[tuple[int, int]]) -> None:
        lost = await self._persist(lambda: self._engine.heartbeat(leases, lease=lease), "renew leases")
        for id, fence in leases:
            held = self._held.get(id)
            # One that finished meanwhile is the report's to judge.
            if id in lost and held is not None and held.job.lease == fence and not held.finished:
                self._drop(held)

    def _drop(self, held: Held) -> None:
        if held.task is None:
            held.lane.waiting.remove(held)
            self._held.pop(held.job.id, None)
            self._fenced(held.job, "it had not begun")
        else:
            self._cancel(held, "lease lost")

    def _cancel(self, held: Held, cut: Cut) -> None:
        if held.task is not None and held.cut is None:
            held.cut = cut
            held.task.cancel()

    def _consumes(self) -> bool:
        """Whether every queue was lately claimed from, or has all its slots at work."""
        oldest = self._clock() - 3 * max(self._poll, 1.0)
        return all(lane.claimed_at >= oldest or lane.free == 0 for lane in self._lanes.values())

    async def _tend(self) -> None:
        """Do for all queues what no single job asks for."""
        shortest = min(lane.lease for lane in self._lanes.values()).total_seconds()
        every = min(shortest / 2, 5.0)
        rescued_at = self._clock() - every
        while True:
            due = await self._persist(self._engine.promote, "make due jobs ready")
            if self._clock() - rescued_at >= every:
                rescued_at = self._clock()
                for rescued in await self._persist(self._engine.rescue, "rescue jobs"):
                    self._record.rescued(rescued)
                    log.warning(
                        "job buried: its worker vanished in its last attempt" if rescued.buried else "job rescued",
                        queue=rescued.queue,
                        job=rescued.job,
                        job_id=rescued.id,
                        attempt=rescued.attempt,
                        worker_lost=rescued.worker,
                    )
            self._return_stale()
            if self._consumes():
                self._record.alive(self._wall_clock())
            pause = min(self._poll, every)
            await asyncio.sleep(pause if due is None else min(max(due.total_seconds(), 0.001), pause))

    def _return_stale(self) -> None:
        """Return what was taken ahead and has waited long: another worker may be free."""
        oldest = self._clock() - _HELD_AHEAD_AT_MOST
        for lane in self._lanes.values():
            if lane.waiting and lane.waiting[0].taken_at < oldest and lane.free == 0:
                lane.slow_down()
                self._return_waiting(lane)

    def _return_waiting(self, lane: Lane) -> None:
        while lane.waiting:
            held = lane.waiting.popleft()
            held.finished = True
            self._outcomes.append((held, Release(held.job.id, held.job.lease)))
            self._reportable.set()

    async def _listen(self) -> None:
        """Wake the claim loops when told to; without, they poll."""
        pause = _FIRST_PAUSE
        while True:
            try:
                async with self._engine.listen() as hints:
                    pause = _FIRST_PAUSE
                    self._wake_all()
                    async for queue in hints:
                        if queue in self._lanes:
                            self._lanes[queue].wake.set()
            except DatabaseUnavailable as error:
                log.warning("cannot listen for jobs; polling", reason=str(error), again_in=round(pause, 2))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _wake_all(self) -> None:
        for lane in self._lanes.values():
            lane.wake.set()

    async def _drain(self, grace: timedelta) -> None:
        for lane in self._lanes.values():
            self._return_waiting(lane)
        running = list(self._tasks)
        if running:
            log.info("draining", running=len(running), grace_seconds=grace.total_seconds())
            await asyncio.wait(running, timeout=grace.total_seconds())
        for held in list(self._held.values()):
            if not held.finished:
                self._cancel(held, "drain")
        if self._tasks:
            _, stubborn = await asyncio.wait(list(self._tasks), timeout=_AFTER_CANCEL)
            if stubborn:
                log.error("jobs ignored their cancellation; their leases run out", jobs=len(stubborn))
        deadline = self._clock() + _REPORT_AT_MOST
        while any(held.finished for held in self._held.values()) and self._clock() < deadline:
            self._reportable.set()
            await asyncio.sleep(0.005)

    async def _persist(self, call: Callable[[], Awaitable[T]], what: str) -> T:
        """Return what `call` returns, however long the database is away."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return await call()
            except DatabaseUnavailable as error:
                log.warning(f"cannot {what}", reason=str(error), again_in=round(pause, 2))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


_RESULTS: dict[type[Outcome], Result] = {Done: "succeeded", Retry: "retried", Bury: "dead", Release: "released"}
