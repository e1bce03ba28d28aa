"""The worker, on the engine in memory: what becomes of each kind of attempt, and how it stops."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from roadworthy.errors import DatabaseUnavailable, DeclarationError, WorkerStuck
from roadworthy.jobs.arguments import Arguments
from roadworthy.jobs.current import current_job
from roadworthy.jobs.engine import ClaimedJob, NewJob, Outcome
from roadworthy.jobs.limits import LimitRule
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.spec import Backoff, JobSpec, QueueSpec
from roadworthy.jobs.worker import Worker
from roadworthy.telemetry import logging
from roadworthy.telemetry.registry import MetricRegistry

QUICKLY = Backoff(base=timedelta(milliseconds=1))
POLL = timedelta(milliseconds=20)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logging.configure("json", "debug", stream)
    yield stream
    logging.configure()


def events(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@dataclass
class Flaky(MemoryEngine):
    """An engine whose methods named in `down` cannot reach their backend."""

    down: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def _check(self, name: str) -> None:
        if name in self.down:
            self.refused.append(name)
            raise DatabaseUnavailable(f"{name} is down")

    async def claim(
        self, queue: str, *, limit: int, lease: timedelta, worker: str, limits: Sequence[LimitRule] = ()
    ) -> list[ClaimedJob]:
        self._check("claim")
        return await super().claim(queue, limit=limit, lease=lease, worker=worker, limits=limits)

    async def complete(self, outcomes: Sequence[Outcome]) -> set[int]:
        self._check("complete")
        return await super().complete(outcomes)

    async def heartbeat(self, leases: Sequence[tuple[int, int]], *, lease: timedelta) -> set[int]:
        self._check("heartbeat")
        return await super().heartbeat(leases, lease=lease)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str]]:
        self._check("listen")
        async with super().listen() as hints:
            yield hints


@dataclass
class Stage:
    """A worker with its engine, and the means to look at both."""

    engine: Flaky
    metrics: MetricRegistry
    stop: asyncio.Event
    task: asyncio.Task[None]
    worker: Worker

    async def enqueue(self, name: str, count: int = 1, *, queue: str = "work", attempts: int = 3, **more: Any) -> None:
        await self.engine.enqueue([NewJob(queue, name, json.dumps(more).encode(), attempts) for _ in range(count)])

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(60):
            while not await condition():
                assert not self.task.done(), "the worker ended"
                await asyncio.sleep(0.005)

    async def states(self) -> list[str]:
        return [record.state for record in await self.engine.operations.jobs(limit=1000)]

    async def emptied(self) -> None:
        async def empty() -> bool:
            return not await self.states()

        await self.until(empty)

    async def came_to(self, *states: str) -> None:
        async def reached() -> bool:
            return sorted(await self.states()) == sorted(states)

        await self.until(reached)

    def count(self, job: str, outcome: str) -> float:
        labels = {"queue": "work", "job": job, "outcome": outcome}
        return self.metrics.value("jobs_finished_total", labels) or 0.0

    async def ended(self, seconds: float = 60.0) -> None:
        self.stop.set()
        async with asyncio.timeout(seconds):
            await self.task


def spec_of(function: Callable[..., Awaitable[None]], **options: Any) -> JobSpec:
    return JobSpec(function.__name__, options.pop("queue", "work"), function, Arguments.of(function), **options)


@asynccontextmanager
async def working(
    *jobs: JobSpec,
    queues: Sequence[QueueSpec] | None = None,
    grace: float = 5.0,
    engine: Flaky | None = None,
    **queue: Any,
) -> AsyncIterator[Stage]:
    engine = engine or Flaky()
    metrics = MetricRegistry(CATALOGUE)
    worker = Worker(
        engine,
        jobs,
        queues or [QueueSpec("work", backoff=QUICKLY, **queue)],
        name="w",
        metrics=metrics,
        poll=POLL,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(stop, timedelta(seconds=grace)))
    stage = Stage(engine, metrics, stop, task, worker)
    try:
        yield stage
        await stage.ended()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=60)


async def test_jobs_run_with_their_arguments_and_are_gone() -> None:
    seen: list[tuple[int, int | None]] = []

    async def note(n: int) -> None:
        job = current_job()
        seen.append((n, job and job.attempt))

    async with working(spec_of(note)) as stage:
        await stage.enqueue("note", n=7)
        await stage.emptied()
    assert seen == [(7, 1)]
    assert stage.count("note", "succeeded") == 1
    assert stage.metrics.value("job_duration_seconds_count", {"queue": "work", "job": "note"}) == 1
    assert stage.metrics.value("job_wait_seconds_count", {"queue": "work"}) == 1
    assert current_job() is None


async def test_many_jobs_run_at_most_at_the_concurrency() -> None:
    running = most = ran = 0

    async def busy() -> None:
        nonlocal running, most, ran
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        ran += 1

    async with working(spec_of(busy), concurrency=7) as stage:
        await stage.enqueue("busy", 1000)
        await stage.emptied()
    assert ran == 1000
    assert 1 < most <= 7


async def test_a_failure_is_retried_until_it_succeeds(log: io.StringIO) -> None:
    attempts: list[int] = []

    async def shaky() -> None:
        job = current_job()
        assert job is not None
        attempts.append(job.attempt)
        if job.attempt < 3:
            raise ValueError("not yet")

    async with working(spec_of(shaky)) as stage:
        await stage.enqueue("shaky")
        await stage.emptied()
    assert attempts == [1, 2, 3]
    assert stage.count("shaky", "retried") == 2
    failed = [line for line in events(log) if line["event"] == "job failed"]
    assert [(line["job"], line["job_id"], line["attempt"], line["error"]) for line in failed] == [
        ("shaky", 1, 1, "not yet"),
        ("shaky", 1, 2, "not yet"),
    ]


async def exits() -> None:
    raise SystemExit(3)


async def cancels_itself() -> None:
    raise asyncio.CancelledError


async def unspeakable() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    raise Mute


@pytest.mark.parametrize(
    ("function", "error_class"),
    [(exits, "SystemExit"), (cancels_itself, "asyncio.exceptions.CancelledError"), (unspeakable, "Mute")],
)
async def test_whatever_a_job_raises_is_its_failure_alone(
    function: Callable[[], Awaitable[None]], error_class: str
) -> None:
    async with working(spec_of(function)) as stage:
        await stage.enqueue(function.__name__, attempts=1)
        await stage.came_to("dead")
        (record,) = await stage.engine.operations.jobs()
        assert record.failures[0]["error_class"].endswith(error_class)
        assert stage.count(function.__name__, "dead") == 1


async def test_an_unknown_job_and_unfit_arguments_fail_with_what_to_do() -> None:
    async def note(n: int) -> None:
        """Take a number."""

    async with working(spec_of(note)) as stage:
        await stage.enqueue("gone", attempts=1)
        await stage.enqueue("note", attempts=1, n="seven")
        await stage.came_to("dead", "dead")
        unfit, unknown = await stage.engine.operations.jobs()
    assert "no job 'gone' is declared" in unknown.failures[0]["message"]
    assert "no longer fit" in unfit.failures[0]["message"]


async def test_an_attempt_past_its_timeout_is_cancelled() -> None:
    async def hang() -> None:
        await asyncio.sleep(60)

    async with working(spec_of(hang, timeout=timedelta(milliseconds=20))) as stage:
        await stage.enqueue("hang", attempts=1)
        await stage.came_to("dead")
        (record,) = await stage.engine.operations.jobs()
    assert record.failures[0]["error_class"] == "TimeoutError"
    assert "longer than its timeout of 0:00:00.020000" in record.failures[0]["message"]


async def test_a_timeout_of_the_jobs_own_is_told_apart() -> None:
    async def impatient() -> None:
        raise TimeoutError("mine")

    async with working(spec_of(impatient, timeout=timedelta(seconds=30))) as stage:
        await stage.enqueue("impatient", attempts=1)
        await stage.came_to("dead")
        (record,) = await stage.engine.operations.jobs()
    assert record.failures[0]["message"] == "mine"


async def test_every_line_of_a_job_carries_its_ids_and_no_other_jobs(log: io.StringIO) -> None:
    logger = logging.get_logger("test")

    async def chatty() -> None:
        logger.info("inside")

    async with working(spec_of(chatty), concurrency=1) as stage:
        for request in ("r-1", "r-2"):
            await stage.engine.enqueue([NewJob("work", "chatty", b"{}", 1, context={"request_id": request})])
        await stage.enqueue("chatty")
        await stage.emptied()
        logger.info("outside")
    inside = [line for line in events(log) if line["event"] == "inside"]
    assert [line.get("request_id") for line in inside] == ["r-1", "r-2", None]
    assert [str(line["job_id"]) for line in inside] == ["1", "2", "3"]
    (outside,) = [line for line in events(log) if line["event"] == "outside"]
    assert "job_id" not in outside


async def test_a_drain_finishes_what_runs_and_returns_what_does_not() -> None:
    gate, begun, ended = asyncio.Event(), 0, 0

    async def slow() -> None:
        nonlocal begun, ended
        begun += 1
        await gate.wait()
        ended += 1

    async with working(spec_of(slow), concurrency=3) as stage:
        await stage.enqueue("slow", 20)

        async def full() -> bool:
            return begun == 3

        await stage.until(full)
        stage.stop.set()
        await asyncio.sleep(0.05)
        gate.set()
        await stage.ended()
    assert (begun, ended) == (3, 3)
    assert await stage.states() == ["ready"] * 17
    assert {record.attempt for record in await stage.engine.operations.jobs()} == {0}


async def test_a_drain_cancels_and_returns_what_outlasts_the_grace() -> None:
    async def endless() -> None:
        await asyncio.sleep(3600)

    async with working(spec_of(endless), grace=0.05) as stage:
        await stage.enqueue("endless")
        await stage.came_to("running")
        await stage.ended()
    (record,) = await stage.engine.operations.jobs()
    assert (record.state, record.attempt) == ("ready", 0)
    assert stage.count("endless", "released") == 1


async def test_a_lost_lease_cancels_the_attempt_and_says_so(log: io.StringIO) -> None:
    cancelled = asyncio.Event()

    async def long() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with working(spec_of(long), lease=timedelta(seconds=1)) as stage:
        await stage.enqueue("long")
        await stage.came_to("running")
        stage.engine._store.kept.clear()
        async with asyncio.timeout(60):
            await cancelled.wait()
    assert stage.count("long", "fenced") == 1
    assert [line["reason"] for line in events(log) if line["event"] == "lease lost"] == [
        "it was cancelled when its lease was found lost"
    ]


async def test_a_rejected_completion_is_counted_and_logged(log: io.StringIO) -> None:
    async def usurped() -> None:
        stage.engine._store.kept.clear()

    async with working(spec_of(usurped)) as stage:
        await stage.enqueue("usurped")

        async def fenced() -> bool:
            return stage.count("usurped", "fenced") == 1

        await stage.until(fenced)
    assert "its completion was rejected" in log.getvalue()
    assert stage.count("usurped", "succeeded") == 0


async def test_heartbeats_keep_jobs_and_prove_that_the_worker_consumes() -> None:
    async def long() -> None:
        await asyncio.sleep(1.6)

    async with working(spec_of(long), lease=timedelta(seconds=1)) as stage:
        await stage.enqueue("long")
        await stage.emptied()
    assert stage.count("long", "succeeded") == 1
    assert stage.metrics.value("jobs_rescued_total", {"queue": "work"}) is None
    assert (stage.metrics.value("worker_heartbeat_timestamp_seconds", {"worker": "w"}) or 0) > 1e9


async def test_what_a_vanished_worker_held_is_rescued(log: io.StringIO) -> None:
    ran: list[int] = []

    async def note() -> None:
        job = current_job()
        ran.append(job.attempt if job else 0)

    async with working(spec_of(note), lease=timedelta(seconds=1)) as stage:
        lease = timedelta(milliseconds=1)
        await stage.engine.enqueue([NewJob("elsewhere", "note", b"{}", 1)])
        await stage.engine.claim("elsewhere", limit=1, lease=lease, worker="gone")
        await stage.came_to("dead")
    assert stage.metrics.value("jobs_rescued_total", {"queue": "elsewhere"}) == 1
    (line,) = [line for line in events(log) if "vanished" in line["event"]]
    assert line["worker_lost"] == "gone"


async def test_a_backend_that_is_away_is_waited_for(log: io.StringIO) -> None:
    ran = asyncio.Event()

    async def note() -> None:
        ran.set()

    engine = Flaky(down={"claim", "complete", "listen", "heartbeat"})
    async with working(spec_of(note), engine=engine, lease=timedelta(seconds=1)) as stage:
        await stage.enqueue("note")

        async def refused(name: str) -> bool:
            return name in engine.refused

        await stage.until(lambda: refused("claim"))
        await stage.until(lambda: refused("listen"))
        engine.down.discard("claim")
        async with asyncio.timeout(60):
            await ran.wait()
        await stage.until(lambda: refused("complete"))
        await stage.until(lambda: refused("heartbeat"))
        engine.down.clear()
        await stage.emptied()
    assert stage.count("note", "succeeded") == 1
    assert {"cannot claim jobs", "cannot report outcomes", "cannot renew leases"} <= {
        line["event"] for line in events(log)
    }


async def test_one_worker_serves_several_queues_each_at_its_own_pace() -> None:
    ran: list[str] = []
    gate = asyncio.Event()

    async def stuck() -> None:
        await gate.wait()

    async def note() -> None:
        ran.append("note")

    queues = [QueueSpec("slow", concurrency=1), QueueSpec("work")]
    async with working(spec_of(stuck, queue="slow"), spec_of(note), queues=queues) as stage:
        await stage.enqueue("stuck", 3, queue="slow")
        await stage.enqueue("note", 5)

        async def done() -> bool:
            return len(ran) == 5

        await stage.until(done)
        gate.set()
        await stage.emptied()


async def test_what_was_taken_ahead_and_waits_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._HELD_AHEAD_AT_MOST", 0.05)
    gate = asyncio.Event()
    began = 0

    async def quick() -> None:
        """Teach the worker that jobs are short."""

    async def stuck() -> None:
        nonlocal began
        began += 1
        await gate.wait()

    async with working(spec_of(quick), spec_of(stuck), concurrency=2) as stage:
        await stage.enqueue("quick", 50)
        await stage.emptied()
        await stage.enqueue("stuck", 30)
        await stage.came_to(*["running"] * 2, *["ready"] * 28)
        assert began == 2
        assert stage.count("stuck", "released") > 0
        gate.set()
        await stage.emptied()


async def test_cancelling_the_worker_cancels_its_jobs() -> None:
    cancelled = asyncio.Event()

    async def long() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with working(spec_of(long)) as stage:
        await stage.enqueue("long")
        await stage.came_to("running")
        stage.task.cancel()
        await asyncio.wait([stage.task], timeout=60)
        async with asyncio.timeout(60):
            await cancelled.wait()
        with pytest.raises(asyncio.CancelledError):
            await stage.task
        stage.task = asyncio.create_task(asyncio.sleep(0))


async def test_a_job_that_ignores_its_cancellation_does_not_hold_up_the_stop(
    monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._AFTER_CANCEL", 0.05)
    gate = asyncio.Event()

    async def stubborn() -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    async with working(spec_of(stubborn), grace=0.01) as stage:
        await stage.enqueue("stubborn")
        await stage.came_to("running")
        await stage.ended()
        gate.set()
        await asyncio.sleep(0.01)
    assert "ignored their cancellation" in log.getvalue()


def test_a_worker_without_a_queue_is_refused() -> None:
    with pytest.raises(DeclarationError, match="was given no queue"):
        Worker(MemoryEngine(), [], [], name="idle", metrics=MetricRegistry(CATALOGUE))


async def test_a_claim_that_never_answers_does_not_hold_up_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._LAST_CLAIM_AT_MOST", 0.05)
    asked = asyncio.Event()

    class Silent(Flaky):
        async def claim(
            self, queue: str, *, limit: int, lease: timedelta, worker: str, limits: Sequence[LimitRule] = ()
        ) -> list[ClaimedJob]:
            asked.set()
            await asyncio.sleep(3600)
            return []

    async with working(engine=Silent()) as stage:
        async with asyncio.timeout(60):
            await asked.wait()
        await stage.ended(5)


async def test_a_job_claimed_again_stays_held_when_its_earlier_report_is_answered() -> None:
    release, renewed = asyncio.Event(), asyncio.Event()
    answered = 0

    class Slow(Flaky):
        async def complete(self, outcomes: Sequence[Outcome]) -> set[int]:
            nonlocal answered
            rejected = await super().complete(outcomes)
            if not answered:
                # Applied, and the answer still on its way while the job is claimed again.
                await release.wait()
            answered += 1
            return rejected

        async def heartbeat(self, leases: Sequence[tuple[int, int]], *, lease: timedelta) -> set[int]:
            if answered and leases:
                renewed.set()
            return await super().heartbeat(leases, lease=lease)

    async def shaky() -> None:
        job = current_job()
        assert job is not None
        if job.attempt == 1:
            raise ValueError("again")
        release.set()
        await renewed.wait()

    async with working(spec_of(shaky), engine=Slow(), lease=timedelta(seconds=1)) as stage:
        await stage.enqueue("shaky")
        await stage.emptied()
    assert stage.count("shaky", "retried") == 1
    assert stage.count("shaky", "succeeded") == 1


async def test_a_holding_lost_and_claimed_again_is_given_up(log: io.StringIO) -> None:
    ran: list[int] = []
    gate = asyncio.Event()

    async def long() -> None:
        job = current_job()
        assert job is not None
        ran.append(job.attempt)
        if job.attempt == 1:
            await asyncio.sleep(3600)
        await gate.wait()

    async with working(spec_of(long)) as stage:
        await stage.enqueue("long")
        await stage.came_to("running")
        (kept,) = stage.engine._store.kept.values()
        kept.state = "ready"
        kept.lease += 1
        stage.engine._store.wake(["work"])

        async def twice() -> bool:
            return ran == [1, 2]

        await stage.until(twice)
        gate.set()
        await stage.emptied()
    assert stage.count("long", "fenced") == 1
    assert stage.count("long", "succeeded") == 1


@pytest.mark.parametrize(("lease", "result"), [(60.0, "succeeded"), (1.0, "fenced")])
async def test_a_report_whose_answer_was_lost_is_told_from_a_rejected_one(lease: float, result: str) -> None:
    """While nobody else can have had the job, a second report that finds it gone means that the first was applied."""

    class Deaf(Flaky):
        lost = 0

        async def complete(self, outcomes: Sequence[Outcome]) -> set[int]:
            rejected = await super().complete(outcomes)
            if not self.lost:
                self.lost += 1
                await asyncio.sleep(0.01 if lease > 1 else 1.1)
                raise DatabaseUnavailable("the connection was lost before the answer came")
            return rejected

        async def heartbeat(self, leases: Sequence[tuple[int, int]], *, lease: timedelta) -> set[int]:
            return {id for id, _ in leases}

    async def note() -> None:
        """Do nothing."""

    async with working(spec_of(note), engine=Deaf(), lease=timedelta(seconds=lease)) as stage:
        await stage.enqueue("note")

        async def counted() -> bool:
            return stage.count("note", result) == 1

        await stage.until(counted)
    assert stage.count("note", "fenced" if result == "succeeded" else "succeeded") == 0


async def test_a_hint_while_all_slots_are_busy_is_not_forgotten() -> None:
    gate = asyncio.Event()
    ran: list[str] = []

    async def stuck() -> None:
        await gate.wait()

    async def note() -> None:
        ran.append("note")

    async with working(spec_of(stuck), spec_of(note), concurrency=2) as stage:
        # Polling would hide what is tested. At this pace the worker wants one job ahead, so two leave it wanting.
        stage.worker._poll = 3600.0
        stage.worker._lanes["work"].ran(0.09)
        stage.engine._store.wake(["work"])
        await asyncio.sleep(0.05)
        await stage.enqueue("stuck", 2)
        await stage.came_to("running", "running")
        await asyncio.sleep(0.05)
        await stage.enqueue("note")
        await asyncio.sleep(0.05)
        assert ran == []
        gate.set()
        await stage.emptied()
    assert ran == ["note"]


async def test_a_claim_that_brought_jobs_is_followed_by_another_without_a_hint() -> None:
    ran: list[int] = []

    async def note(n: int) -> None:
        ran.append(n)
        if n == 1:
            stage.engine._store.wake = lambda queues: None  # type: ignore[assignment]
            await stage.enqueue("note", n=2)

    async with working(spec_of(note)) as stage:
        stage.worker._poll = 3600.0
        stage.engine._store.wake(["work"])
        await asyncio.sleep(0.05)
        await stage.enqueue("note", n=1)
        await stage.emptied()
    assert ran == [1, 2]


async def test_an_attempt_cancelled_before_its_first_step_frees_its_slot() -> None:
    async def note() -> None:
        """Do nothing."""

    async with working(spec_of(note), concurrency=1) as stage:
        worker = stage.worker
        original = worker._start

        def start_and_cut(lane: Any) -> None:
            original(lane)
            worker._start = original  # type: ignore[method-assign]
            for held in worker._attempts.values():
                worker._cancel(held, "drain")

        worker._start = start_and_cut  # type: ignore[method-assign]
        await stage.enqueue("note")
        await stage.emptied()
    assert stage.count("note", "released") == 1
    assert stage.count("note", "succeeded") == 1


async def test_what_a_job_raises_when_it_is_cut_short_is_no_failure() -> None:
    async def wraps() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise RuntimeError("interrupted") from None

    async with working(spec_of(wraps), grace=0.05) as stage:
        await stage.enqueue("wraps", attempts=1)
        await stage.came_to("running")
        await asyncio.sleep(0.05)
        await stage.ended()
    assert await stage.states() == ["ready"]
    assert stage.count("wraps", "released") == 1


async def test_a_context_that_is_no_mapping_fails_its_job_alone() -> None:
    async def note() -> None:
        """Do nothing."""

    async with working(spec_of(note)) as stage:
        await stage.engine.enqueue([NewJob("work", "note", b"{}", 1, context=["odd"])])  # type: ignore[arg-type]
        await stage.came_to("dead")


@pytest.mark.parametrize("method", ["claim", "complete", "heartbeat", "promote", "rescue", "listen"])
async def test_an_unexpected_error_in_any_loop_ends_the_worker_loudly(method: str) -> None:
    async def long() -> None:
        await asyncio.sleep(0.01 if method == "complete" else 3600)

    def broken(*_: Any, **__: Any) -> Any:
        raise ArithmeticError("a defect")

    async with working(spec_of(long), lease=timedelta(seconds=1), grace=0.1) as stage:
        await stage.enqueue("long")
        await stage.came_to("running")
        setattr(stage.engine, method, broken)
        if method == "listen":
            task = asyncio.create_task(stage.worker._listen())
            await asyncio.wait([task], timeout=60)
            assert isinstance(task.exception(), ArithmeticError)
            return
        await asyncio.wait([stage.task], timeout=60)
        error = stage.task.exception()
        assert isinstance(error, ExceptionGroup)
        assert isinstance(error.exceptions[0], ArithmeticError)
        stage.task = asyncio.create_task(asyncio.sleep(0))


async def test_an_attempt_without_an_outcome_ends_the_worker_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def note() -> None:
        """Do nothing."""

    def broken(*_: Any) -> None:
        raise ArithmeticError("a defect")

    async with working(spec_of(note)) as stage:
        monkeypatch.setattr(stage.worker._record, "ran", broken)
        await stage.engine.enqueue([NewJob("work", "note", b"{}", 1)])
        await asyncio.wait([stage.task], timeout=60)
        error = stage.task.exception()
        assert isinstance(error, ExceptionGroup)
        assert isinstance(error.exceptions[0].__cause__, ArithmeticError)
        stage.task = asyncio.create_task(asyncio.sleep(0))


async def test_a_drain_ends_in_time_though_outcomes_cannot_be_reported(
    monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._SHORTEST_TAIL", 0.2)

    async def note() -> None:
        """Do nothing."""

    async with working(spec_of(note), grace=0.1, engine=Flaky(down={"complete"})) as stage:
        await stage.enqueue("note")

        async def refused() -> bool:
            return bool(stage.engine.refused)

        await stage.until(refused)
        await stage.ended(5)
    assert "could not be reported in time" in log.getvalue()


async def test_a_worker_whose_claims_hang_says_so_and_ends(monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._CLAIM_AT_MOST", 0.1)
    hung = asyncio.Event()

    class Hanging(Flaky):
        async def claim(self, *given: Any, **more: Any) -> list[ClaimedJob]:
            await hung.wait()
            return []

    async def nothing() -> None: ...

    with pytest.raises(WorkerStuck, match="a claim from queue 'work' got no answer"):
        async with working(spec_of(nothing), grace=0.1, engine=Hanging()) as stage:
            await asyncio.wait([stage.task], timeout=60)
            assert not stage.worker.consumes
    assert "the worker can take no jobs any more and ends" in log.getvalue()


async def test_a_database_that_is_away_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._CLAIM_AT_MOST", 0.05)

    async def nothing() -> None: ...

    async with working(spec_of(nothing)) as stage:
        stage.engine.down.add("claim")

        async def refused() -> bool:
            return len(stage.engine.refused) >= 3

        await stage.until(refused)
        stage.engine.down.clear()
        await stage.enqueue("nothing")
        await stage.emptied()
