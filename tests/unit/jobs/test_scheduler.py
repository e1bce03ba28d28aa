"""Repeating jobs, fired once whoever schedules, and the gauges of the queues."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roadworthy.errors import DatabaseUnavailable, DeclarationError
from roadworthy.jobs.arguments import Arguments, UniqueKey
from roadworthy.jobs.engine import NewJob, QueueCounts
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.scheduler import Scheduler, schedule_of
from roadworthy.jobs.spec import JobSpec, QueueSpec
from roadworthy.telemetry.registry import MetricRegistry

QUEUES = [QueueSpec("work")]


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2030, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **by: float) -> None:
        self.moment += timedelta(**by)


async def tick(depth: int = 1) -> None:
    """Do nothing."""


def spec_of(function: Callable[..., Awaitable[None]] = tick, **options: Any) -> JobSpec:
    return JobSpec(function.__name__, "work", function, Arguments.of(function), **options)


def scheduler_of(engine: MemoryEngine, *jobs: JobSpec) -> Scheduler:
    return Scheduler(
        engine,
        jobs,
        QUEUES,
        metrics=MetricRegistry(CATALOGUE),
        observe_every=timedelta(milliseconds=5),
    )


async def waiting(engine: MemoryEngine) -> int:
    return len(await engine.operations.jobs())


async def test_a_new_schedule_begins_with_its_next_fire_time() -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    scheduler = scheduler_of(engine, spec_of(every=timedelta(minutes=10)))
    clock.advance(minutes=4)
    assert await scheduler.fire_due() == 360
    assert await waiting(engine) == 0
    clock.advance(minutes=6)
    assert await scheduler.fire_due() == 600
    assert await waiting(engine) == 1
    (record,) = await engine.operations.jobs()
    assert record.arguments == b'{"depth":1}'


async def test_several_schedulers_fire_once() -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    schedulers = [scheduler_of(engine, spec_of(cron="0 * * * *")) for _ in range(3)]
    for _ in range(4):
        for scheduler in schedulers:
            await scheduler.fire_due()
        clock.advance(hours=1)
    assert await waiting(engine) == 3


async def test_what_was_missed_is_made_up_for_once() -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    await scheduler_of(engine, spec_of(cron="0 3 * * *")).fire_due()
    clock.advance(days=5)
    restarted = scheduler_of(engine, spec_of(cron="0 3 * * *"))
    await restarted.fire_due()
    await restarted.fire_due()
    assert await waiting(engine) == 1


async def test_a_unique_job_that_still_waits_is_not_added_again() -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    arguments = Arguments.of(tick)
    spec = JobSpec("tick", "work", tick, arguments, UniqueKey("{depth}", arguments), every=timedelta(minutes=1))
    scheduler = scheduler_of(engine, spec)
    for _ in range(5):
        await scheduler.fire_due()
        clock.advance(minutes=1)
    assert await waiting(engine) == 1


async def test_it_runs_until_told_to_stop_and_survives_outages() -> None:
    class Flaky(MemoryEngine):
        failures = 2

        async def now(self) -> datetime:
            if self.failures:
                self.failures -= 1
                raise DatabaseUnavailable("away")
            return await super().now()

    engine = Flaky()
    await engine.enqueue([NewJob("work", "tick", b"{}", 1)])
    metrics = MetricRegistry(CATALOGUE)
    scheduler = Scheduler(
        engine, [spec_of(every=timedelta(seconds=1))], QUEUES, metrics=metrics, observe_every=timedelta(seconds=0.01)
    )
    stop = asyncio.Event()
    task = asyncio.create_task(scheduler.run(stop))
    async with asyncio.timeout(10):
        while await waiting(engine) < 2 or not metrics.value("queue_ready", {"queue": "work"}):
            await asyncio.sleep(0.01)
        stop.set()
        await task


async def test_the_gauges_tell_how_each_queue_stands() -> None:
    clock = Clock()

    class Counted(MemoryEngine):
        async def counts(self) -> list[QueueCounts]:
            return [QueueCounts("other", 1, 2, 3, 4, 0, 0, clock.moment - timedelta(seconds=90))]

    metrics = MetricRegistry(CATALOGUE)
    await Scheduler(Counted(clock), [], QUEUES, metrics=metrics).observe()

    def value(name: str, queue: str) -> float | None:
        return metrics.value(name, {"queue": queue})

    names = ("queue_scheduled", "queue_ready", "queue_running", "queue_dead")
    assert [value(name, "other") for name in names] == [1, 2, 3, 4]
    assert [value(name, "work") for name in names] == [0, 0, 0, 0]
    now = clock.moment.timestamp()
    assert value("queue_oldest_ready_timestamp_seconds", "other") == now - 90
    assert value("queue_oldest_ready_timestamp_seconds", "work") == now


def test_a_repeating_job_needs_nothing_from_a_caller() -> None:
    async def fetch(url: str) -> None: ...

    with pytest.raises(DeclarationError, match="nobody passes its url"):
        spec_of(fetch, every=timedelta(minutes=1))
    with pytest.raises(DeclarationError, match="five"):
        spec_of(cron="hourly")
    with pytest.raises(ValueError, match="does not repeat"):
        schedule_of(spec_of())


async def test_slow_counting_is_done_less_often() -> None:
    moment = 0.0

    class Slow(MemoryEngine):
        counted = 0

        async def counts(self) -> list[QueueCounts]:
            nonlocal moment
            moment += 1.0
            self.counted += 1
            return []

    engine = Slow()
    scheduler = Scheduler(
        engine, [], QUEUES, metrics=MetricRegistry(CATALOGUE), observe_every=timedelta(0), clock=lambda: moment
    )
    stop = asyncio.Event()
    task = asyncio.create_task(scheduler.run(stop))
    await asyncio.sleep(0.1)
    stop.set()
    await task
    assert engine.counted == 1
