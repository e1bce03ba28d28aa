"""Runs jobs: claims them in batches, runs each in its own task, and reports in batches how they ended.

    run ── one loop per queue: claim → Lane.waiting → a task per job → outcomes
        ── report: outcomes → engine.complete, whatever gathered while the last batch was on its way
        ── renew: one heartbeat for everything held
        ── heed: cancel what somebody wants cancelled
        ── upkeep: make due jobs ready, take back what dead workers held, prune
        ── listen: wake the claim loops

Time that matters to others (leases, due times) is the engine's; the clock here only paces the loops. Only the loss of
the backend is waited out. Any other error in a loop ends the worker, loudly, for whoever started it to start another.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextvars import Context, copy_context
from datetime import timedelta
from typing import Any, cast

from roadworthy.bridge import BRIDGE, Bridge
from roadworthy.errors import DatabaseUnavailable, DeclarationError, WorkerStuck
from roadworthy.jobs.current import CURRENT, CurrentJob
from roadworthy.jobs.engine import Bury, Cancelled, ClaimedJob, Done, Engine, Outcome, Postpone, Release, Retry
from roadworthy.jobs.execution import runners
from roadworthy.jobs.holdings import heed, renew
from roadworthy.jobs.lane import Cut, Held, Lane
from roadworthy.jobs.limits import rules_of
from roadworthy.jobs.metrics import Result, begin
from roadworthy.jobs.persistence import FIRST_PAUSE, LONGEST_PAUSE, persist
from roadworthy.jobs.presence import Presence
from roadworthy.jobs.record import Record
from roadworthy.jobs.sealing import Keys
from roadworthy.jobs.spec import JobSpec, QueueSpec
from roadworthy.jobs.tracing import TRACEPARENT, begun, end
from roadworthy.jobs.upkeep import Upkeep
from roadworthy.jobs.verdict import arguments_of, success, verdict
from roadworthy.jobs.watchdog import Watchdog
from roadworthy.telemetry.error_reports import ErrorReports
from roadworthy.telemetry.logging import CONTEXT, get_logger
from roadworthy.telemetry.registry import MetricRegistry
from roadworthy.telemetry.tracing import Span, Tracing

log = get_logger(__name__)

_HELD_AHEAD_AT_MOST = 1.0
_LAST_CLAIM_AT_MOST = 5.0
_AFTER_CANCEL = 5.0
_SHORTEST_TAIL = 2.0
_LARGEST_REPORT = 1000
_AGAIN = 0.002
_RETIRED_POLL = 0.1
_STUCK_AT_MOST = 10.0
_CLAIM_AT_MOST = 60.0


class Worker:
    """Works on some queues in this process until it is told to stop."""

    def __init__(
        self,
        engine: Engine,
        jobs: Iterable[JobSpec],
        queues: Sequence[QueueSpec],
        *,
        name: str,
        series: str | None = None,
        metrics: MetricRegistry,
        poll: timedelta = timedelta(seconds=1),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        abandon: Callable[[], object] | None = None,
        keys: Keys | None = None,
        tracing: Tracing | None = None,
        reports: ErrorReports | None = None,
    ) -> None:
        """`name` tells people which process held a job; `series` is its label in metrics, where `name` is never the
        same twice. `poll` is the longest an idle queue goes unlooked at.

        `abandon` ends the process, from a thread, when the event loop has been blocked for longer than any lease lasts.
        `keys` are those of encrypted jobs. `tracing` records attempts, and `reports` tells of jobs that die. `clock`
        counts seconds monotonically, `wall_clock` is Unix time (for one gauge), `jitter` draws from 0 up to 1.
        """
        if not queues:
            raise DeclarationError(f"worker {name!r} was given no queue; declare one with service.queue()")
        self.name = name
        self._engine = engine
        self._jobs = {spec.name: spec for spec in jobs}
        self._lanes = {queue.name: Lane(queue, rules_of(queue, self._jobs.values())) for queue in queues}
        self._record = Record(metrics, series or name)
        self._metrics = metrics
        begin(metrics, [(one.queue, one.name) for one in self._jobs.values() if one.queue in self._lanes])
        self._poll = poll.total_seconds()
        self._clock = clock
        self._wall_clock = wall_clock
        self._jitter = jitter
        self._held: dict[int, Held] = {}
        self._attempts: dict[asyncio.Task[None], Held] = {}
        self._runners = runners()
        self._abandon = abandon
        self._keys = keys
        self._tracing = tracing
        self._reports = reports
        self._outcomes: list[tuple[Held, Outcome]] = []
        self._reportable = asyncio.Event()
        self._context: Context = Context()
        self._loop: asyncio.AbstractEventLoop
        self._stopping = False
        self._retiring = False
        self._defect: BaseException | None = None
        self._broken = asyncio.Event()
        self._hopeless = asyncio.Event()
        self._why = ""
        self._answered_at = 0.0
        rules = [rule for lane in self._lanes.values() for rule in lane.limits]
        self._upkeep = Upkeep(engine, queues, rules, self._record, poll=self._poll, clock=clock)

    async def run(self, stop: asyncio.Event, grace: timedelta = timedelta(seconds=30)) -> None:
        """Work until `stop` is set, then drain.

        Draining takes no more jobs, returns those not begun at once, lets running ones finish within `grace`, cancels
        and returns the rest: a quarter of the grace more at most, or 2 s. Raises nothing that a job raises; survives
        the loss of the database.

        Raises:
            WorkerStuck: all slots of a queue were taken by jobs that do not end; it drained first.
        """
        loop = self._loop = asyncio.get_running_loop()
        BRIDGE.set(Bridge(loop))
        self._context = copy_context()
        longest = max(lane.lease for lane in self._lanes.values())
        log.info("worker started", worker=self.name, queues=list(self._lanes))
        async with Watchdog(loop, self._busy_with, longest, self._abandon), asyncio.TaskGroup() as group:
            claiming = [group.create_task(self._claim(lane)) for lane in self._lanes.values()]
            serving = [group.create_task(loop) for loop in self._loops()]
            try:
                await self._until_told(stop)
                await self._drain(claiming, grace.total_seconds())
            finally:
                for task in serving:
                    task.cancel()
                await self._leave_behind()
        log.info("worker stopped", worker=self.name)
        if self._hopeless.is_set():
            raise WorkerStuck(f"worker {self.name!r} ended: {self._why}")

    def _loops(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Make what runs beside the claims until the end."""
        lanes = tuple(self._lanes.values())
        presence = Presence(
            self._engine,
            self.name,
            self._lanes,
            self._attempts.values,
            self._metrics,
            lambda: self.consumes,
            lambda: self._retiring,
            clock=self._clock,
        )
        interval = min(lane.lease for lane in lanes).total_seconds() / 3
        yield self._report()
        yield renew(self._engine, self._held, interval, self._clock, self._drop)
        yield heed(self._engine, self.name, self._held, self._clock, self._unwanted)
        yield self._upkeep.tend()
        yield self._upkeep.prune()
        yield presence.run()
        yield self._listen()
        yield self._watch()
        yield self._break()

    async def _until_told(self, stop: asyncio.Event) -> None:
        told = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._hopeless.wait())]
        try:
            await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in told:
                wait.cancel()

    async def _leave_behind(self) -> None:
        """Cancel what still runs, and wait for none of it."""
        try:
            for runner in self._runners.values():
                await runner.close()
        finally:
            for task, held in self._attempts.items():
                held.cut = held.cut or "drain"
                task.cancel()
                if held.timer is not None:
                    held.timer.cancel()
                if held.given_up:
                    # Else the end of the loop would wait for it, for ever, or complain of it.
                    asyncio.tasks._unregister_task(task)
                    task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _busy_with(self) -> dict[str, object]:
        """Return which job the event loop is at; called in the watchdog's thread."""
        task = asyncio.current_task(self._loop)
        held = None if task is None else self._attempts.get(cast(asyncio.Task[None], task))
        return {} if held is None else held.naming

    async def retire(self) -> None:
        """Take no more jobs, give back those not begun, and return when no other is held, however long they run.

        Meanwhile `run` goes on; told to stop, it drains as ever.
        """
        self._retiring = True
        log.info("retiring", worker=self.name, jobs=len(self._held))
        while self._held:
            for lane in self._lanes.values():
                self._return_waiting(lane)
            await asyncio.sleep(_RETIRED_POLL)

    async def _claim(self, lane: Lane) -> None:
        """Keep `lane` supplied."""
        pause = FIRST_PAUSE
        while not self._stopping:
            lane.wake.clear()
            wanted = 0 if self._retiring else lane.appetite()
            if wanted == 0:
                await self._wait(lane, self._poll)
                continue
            asked_at = lane.asked_at = self._clock()
            try:
                jobs = await self._engine.claim(
                    lane.queue.name, limit=wanted, lease=lane.lease, worker=self.name, limits=lane.limits
                )
            except DatabaseUnavailable as error:
                log.warning("cannot claim jobs", queue=lane.queue.name, reason=str(error), again_in=round(pause, 2))
                lane.asked_at, self._answered_at = None, self._clock()
                await self._wait(lane, pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            lane.asked_at, self._answered_at = None, self._clock()
            pause = FIRST_PAUSE
            lane.claimed_at = self._clock()
            for job in jobs:
                earlier = self._held.get(job.id)
                if earlier is not None:
                    self._supersede(earlier)
                held = self._held[job.id] = Held(job, lane, asked_at, asked_at)
                lane.waiting.append(held)
                self._record.waited(job)
            self._start(lane)
            if len(jobs) < wanted and lane.rated:
                self._upkeep.look()
            if len(jobs) == wanted:
                lane.exhausted = False
            elif not lane.wake.is_set():
                lane.exhausted = True
                # Under a steady load more are there before the hint of them is, which a busy database holds back.
                await self._wait(lane, _AGAIN if jobs else self._poll)

    def _supersede(self, earlier: Held) -> None:
        """Give up an earlier holding of a job that was claimed again: it was returned, or its lease was lost."""
        if earlier.finished:
            earlier.superseded = True
        else:
            self._drop(earlier)

    async def _wait(self, lane: Lane, longest: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await lane.wake.wait()

    def _start(self, lane: Lane) -> None:
        """Fill the free slots of `lane` with waiting jobs."""
        while lane.waiting and lane.free > 0 and not self._stopping:
            held = lane.waiting.popleft()
            lane.running += 1
            task = held.task = self._loop.create_task(self._attempt(held), context=self._context.copy())
            self._attempts[task] = held
            task.add_done_callback(self._ended)

    async def _attempt(self, held: Held) -> None:
        """Run one attempt to its end, whatever that is."""
        job = held.job
        held.started_at = self._clock()
        outcome: Outcome | None
        span: Span | None = None
        failure: BaseException | None = None
        try:
            held.current = current = CurrentJob(job, self._engine, self._loop, self._keys)
            CURRENT.set(current)
            context = dict(job.context or {})
            context.pop(TRACEPARENT, None)
            if self._tracing is not None:
                context["trace_id"], span = begun(self._tracing, job)
            CONTEXT.set(
                {
                    **CONTEXT.get({}),
                    **context,
                    "queue": job.queue,
                    "job": job.job,
                    "job_id": job.id,
                    "attempt": job.attempt,
                }
            )
            outcome = await self._call(held, current)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            # SystemExit, too: a job that gives up is a failed job, not a worker that was told to stop.
            failure = error
            outcome = self._unsuccessful(held, error)
        if span is not None:
            end(span, outcome, failure)
        self._conclude(held, outcome)

    def _conclude(self, held: Held, outcome: Outcome | None) -> None:
        """Free the slot of an attempt that ended, and have its outcome reported."""
        lane = held.lane
        lane.running -= 1
        if held.timer is not None:
            held.timer.cancel()
        if held.given_up:
            lane.recover()
            log.warning("an attempt that was given up has ended", **held.naming)
        else:
            self._settle(held, outcome)
        if lane.waiting:
            self._start(lane)
        if not lane.exhausted and not lane.wake.is_set() and lane.appetite() > 0:
            lane.wake.set()

    def _settle(self, held: Held, outcome: Outcome | None) -> None:
        """Have the outcome of an attempt reported, or forget it where there is none."""
        held.finished = True
        took = self._clock() - held.started_at
        held.lane.ran(took)
        self._record.ran(held.job, took)
        if held.current is not None and held.current.finished:
            self._forget(held)
            self._record.finished(held.job, "succeeded")
        elif outcome is None:
            self._forget(held)
        else:
            self._outcomes.append((held, outcome))
            self._reportable.set()

    def _give_up(self, held: Held) -> None:
        """Report an attempt that does not end although it was cut; its slot stays taken until it does."""
        if held.finished:
            return
        held.given_up = True
        held.lane.give_up(self._clock())
        log.error("a job does not end when it is cancelled; its slot stays taken", cut=held.cut, **held.naming)
        self._settle(held, self._unsuccessful(held, asyncio.CancelledError("it did not end when it was cancelled")))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Forget an attempt's task. An error here is the worker's own, since a job's became its outcome."""
        held = self._attempts.pop(task)
        error = None if task.cancelled() else task.exception()
        if error is None and not held.finished:
            # Cancelled before its first step, which would have freed the slot in the end.
            held.started_at = self._clock()
            self._conclude(held, self._unsuccessful(held, asyncio.CancelledError()))
        elif error is not None:
            self._defect = error
            self._broken.set()

    async def _break(self) -> None:
        """End the worker when an attempt could not be brought to an outcome: its job would be held for ever."""
        await self._broken.wait()
        raise RuntimeError("an attempt ended without an outcome; this is a defect of the worker") from self._defect

    def _forget(self, held: Held) -> None:
        """Hold a job no longer. By identity: the job may have been claimed again since."""
        if self._held.get(held.job.id) is held:
            del self._held[held.job.id]

    async def _call(self, held: Held, current: CurrentJob) -> Done:
        """Run the job's function and return its success; past its timeout it is cut."""
        job = held.job
        spec = self._jobs.get(job.job)
        if spec is None:
            raise LookupError(
                f"no job {job.job!r} is declared in this service; deploy the version that has it, or discard the job"
            )
        arguments = arguments_of(job, spec, self._keys)
        if spec.timeout is not None:
            held.timer = self._loop.call_later(spec.timeout.total_seconds(), self._cancel, held, "timeout")
        try:
            value = await self._runners[spec.runs].run(spec, current, arguments)
        finally:
            if current.reporter is not None:
                await current.reporter.close()
        return success(job, spec, value, self._keys)

    def _unsuccessful(self, held: Held, error: BaseException) -> Outcome | None:
        """Return what becomes of an attempt that raised. One cut short did not fail, whatever it made of that."""
        job = held.job
        if held.given_up and held.finished:
            return None
        if held.current is not None and held.current.finished:
            log.warning("a job raised after its success was committed", error=repr(error))
            return None
        match held.cut:
            case "drain":
                return Release(job.id, job.lease)
            case "lease lost":
                self._fenced(job, "it was cancelled when its lease was found lost")
                return None
            case "cancelled":
                log.info("job cancelled")
                return Cancelled(job.id, job.lease)
            case "timeout":
                late = TimeoutError(f"the attempt took longer than its timeout of {self._jobs[job.job].timeout}")
                late.__cause__ = error
                error = late
        outcome = verdict(job, error, self._lanes[job.queue].queue.backoff, self._jitter(), self._keys)
        if self._reports is not None and isinstance(outcome, Bury):
            self._reports.report(error, secret=job.options.encrypted)
        return outcome

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
        for held, _ in batch:
            if held.superseded:
                self._fenced(held.job, "it was lost, and claimed again, before its end could be reported")
        batch = [(held, outcome) for held, outcome in batch if not held.superseded]
        outcomes = [outcome for _, outcome in batch]
        sent = 0

        async def complete() -> set[int]:
            nonlocal sent
            sent += 1
            return await self._engine.complete(outcomes)

        rejected = await persist(complete, "report outcomes")
        now = self._clock()
        counts: dict[tuple[str, str, Result], int] = defaultdict(int)
        for held, outcome in batch:
            job = held.job
            self._forget(held)
            # A first report whose answer was lost may have been applied, and surely was if nobody else can have had
            # the job meanwhile.
            if job.id in rejected and not (sent > 1 and now < held.kept_until):
                self._fenced(job, "its completion was rejected: the job is no longer this worker's")
            else:
                counts[job.queue, job.job, _RESULTS[type(outcome)]] += 1
        self._record.finished_many(counts)

    def _drop(self, held: Held) -> None:
        if held.task is None:
            held.lane.waiting.remove(held)
            self._forget(held)
            self._fenced(held.job, "it had not begun")
        else:
            self._cancel(held, "lease lost")

    def _cancel(self, held: Held, cut: Cut) -> None:
        if held.task is not None and held.cut is None:
            held.cut = cut
            if held.current is not None:
                held.current.cancelled = True
            if held.timer is not None:
                held.timer.cancel()
            held.timer = self._loop.call_later(_AFTER_CANCEL, self._give_up, held)
            held.task.cancel()

    def _unwanted(self, held: Held) -> None:
        """End a job that somebody cancelled."""
        if held.task is None:
            held.lane.waiting.remove(held)
            self._settle_unbegun(held, Cancelled(held.job.id, held.job.lease))
        else:
            self._cancel(held, "cancelled")

    @property
    def consumes(self) -> bool:
        """Whether every queue was lately claimed from, or has all its slots at work; one that retires need not.

        A slot whose job does not end is not at work.
        """
        oldest = self._clock() - 3 * max(self._poll, 1.0)
        claims = all(
            (lane.claimed_at >= oldest or lane.free == 0) and lane.stuck_since is None for lane in self._lanes.values()
        )
        return self._retiring or (claims and not self._hopeless.is_set())

    def _despair(self) -> None:
        """End the worker when it can take no jobs any more: another process begins afresh.

        Either all slots of a queue have long been stuck, or a claim has neither come back nor failed, as it would if
        the database were away.
        """
        now = self._clock()
        for lane in self._lanes.values():
            name = lane.queue.name
            if lane.stuck_since is not None and lane.stuck_since <= now - _STUCK_AT_MOST:
                self._end(
                    f"all slots of queue {name!r} were taken by jobs that do not end when they are cancelled. Let "
                    "CancelledError pass in async jobs; give plain ones time-outs of their own, or process=True"
                )
            elif lane.asked_at is not None and max(lane.asked_at, self._answered_at) <= now - _CLAIM_AT_MOST:
                self._end(f"a claim from queue {name!r} got no answer for {_CLAIM_AT_MOST:g} s")

    def _end(self, why: str) -> None:
        if not self._hopeless.is_set():
            log.critical("the worker can take no jobs any more and ends", worker=self.name, reason=why)
            self._why = why
            self._hopeless.set()

    async def _watch(self) -> None:
        """Look whether the worker consumes, without asking the engine, which may be what hangs."""
        while True:
            self._return_stale()
            self._despair()
            if self.consumes:
                self._record.alive(self._wall_clock())
            await asyncio.sleep(min(self._poll, 1.0))

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
            self._settle_unbegun(held, Release(held.job.id, held.job.lease))

    def _settle_unbegun(self, held: Held, outcome: Outcome) -> None:
        held.finished = True
        self._outcomes.append((held, outcome))
        self._reportable.set()

    async def _listen(self) -> None:
        """Wake the claim loops when told to; without, they poll."""
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._engine.listen() as hints:
                    pause = FIRST_PAUSE
                    self._wake_all()
                    async for queue in hints:
                        if queue in self._lanes:
                            self._lanes[queue].look()
            except DatabaseUnavailable as error:
                log.warning("cannot listen for jobs; polling", reason=str(error), again_in=round(pause, 2))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _wake_all(self) -> None:
        for lane in self._lanes.values():
            lane.look()

    async def _drain(self, claiming: Sequence[asyncio.Task[None]], grace: float) -> None:
        began, tail = self._clock(), max(grace / 4, _SHORTEST_TAIL)
        self._stopping = True
        self._wake_all()
        self._return_all()
        # Claims on their way are let arrive, so that their jobs are returned now, not when their leases run out.
        _, late = await asyncio.wait(claiming, timeout=min(_LAST_CLAIM_AT_MOST, tail / 3))
        for claim in late:
            claim.cancel()
        self._return_all()
        if attempts := self._live():
            left = max(began + grace - self._clock(), 0.0)
            log.info("draining", running=len(attempts), grace_seconds=round(left, 2))
            await asyncio.wait(attempts, timeout=left)
        for held in self._attempts.values():
            self._cancel(held, "drain")
        if attempts := self._live():
            _, stubborn = await asyncio.wait(attempts, timeout=min(_AFTER_CANCEL, tail / 3))
            if stubborn:
                log.error("jobs ignored their cancellation; they are returned while they run", jobs=len(stubborn))
            for held in tuple(self._attempts.values()):
                self._give_up(held)
        while any(held.finished for held in self._held.values()):
            if self._clock() >= began + grace + tail:
                log.error("outcomes could not be reported in time; the leases of their jobs run out")
                return
            self._reportable.set()
            await asyncio.sleep(0.005)

    def _live(self) -> list[asyncio.Task[None]]:
        """Return the attempts that may yet end well."""
        return [task for task, held in self._attempts.items() if not held.given_up]

    def _return_all(self) -> None:
        for lane in self._lanes.values():
            self._return_waiting(lane)


_RESULTS: dict[type[Outcome], Result] = {
    Done: "succeeded",
    Retry: "retried",
    Bury: "dead",
    Release: "released",
    Postpone: "snoozed",
    Cancelled: "cancelled",
}
