"""Repeating jobs, fired once whoever schedules, and the gauges of the queues."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roadworthy.errors import DatabaseUnavailable, DeclarationError
from roadworthy.jobs.arguments import Arguments, UniqueKey
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.operations import QueueCounts
from roadworthy.jobs.scheduler import Scheduler
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


async def stay() -> None:
    """Do nothing either."""


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


def days(*numbers: int, hour: int = 3) -> list[datetime]:
    return [datetime(2030, 1, number, hour, tzinfo=UTC) for number in numbers]


async def fired(engine: MemoryEngine) -> list[datetime | None]:
    """Take what was enqueued, and return its fire times."""
    return [job.fire_time for job in await engine.claim("work", limit=5000, lease=timedelta(hours=1), worker="w")]


@pytest.mark.parametrize(
    ("missed", "made_up"), [("latest", days(6)), ("all", days(2, 3, 4, 5, 6)), ("skip", []), (None, days(6))]
)
async def test_what_was_missed_is_made_up_for_as_declared(missed: Any, made_up: list[datetime]) -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    spec = spec_of(cron="0 3 * * *", **({"missed": missed} if missed else {}))
    await scheduler_of(engine, spec).fire_due()
    clock.advance(days=5)
    restarted = scheduler_of(engine, spec)
    await restarted.fire_due()
    await restarted.fire_due()
    assert await fired(engine) == made_up
    clock.advance(hours=15)
    await restarted.fire_due()
    assert await fired(engine) == days(7)


async def test_what_is_a_moment_late_is_not_missed() -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    spec = spec_of(cron="0 * * * *", missed="skip")
    await scheduler_of(engine, spec).fire_due()
    clock.advance(hours=1, seconds=60)
    await scheduler_of(engine, spec).fire_due()
    assert await fired(engine) == days(1, hour=13)


async def test_the_last_thousand_are_made_up_for_at_most() -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    spec = spec_of(every=timedelta(seconds=1), missed="all")
    await scheduler_of(engine, spec).fire_due()
    clock.advance(days=1)
    await scheduler_of(engine, spec).fire_due()
    times = await fired(engine)
    assert times == [clock.moment - timedelta(seconds=ago) for ago in reversed(range(1000))]


async def test_making_up_goes_on_where_another_scheduler_broke_off() -> None:
    class Mortal(MemoryEngine):
        fires_left = 2

        async def fire(self, schedule: str, fire_time: datetime, job: NewJob) -> bool:
            if self.fires_left == 0:
                raise DatabaseUnavailable("away")
            self.fires_left -= 1
            return await super().fire(schedule, fire_time, job)

    clock = Clock()
    engine = Mortal(clock)
    spec = spec_of(cron="0 3 * * *", missed="all")
    first = scheduler_of(engine, spec)
    await first.fire_due()
    clock.advance(days=5)
    with pytest.raises(DatabaseUnavailable):
        await first.fire_due()
    engine.fires_left = 9
    await scheduler_of(engine, spec).fire_due()
    await first.fire_due()
    assert await fired(engine) == days(2, 3, 4, 5, 6)


async def test_a_job_is_told_its_fire_time_in_its_own_zone() -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    scheduler = scheduler_of(engine, spec_of(cron="30 0 * * *", timezone="Europe/Berlin"))
    await scheduler.fire_due()
    clock.advance(days=1)
    await scheduler.fire_due()
    (moment,) = await fired(engine)
    assert moment is not None
    assert moment.isoformat() == "2030-01-02T00:30:00+01:00", "the second of January there, the first in UTC"


@pytest.mark.parametrize(
    "changed",
    [
        {"cron": "0 11 * * *"},
        {"cron": "0 3 * * *", "timezone": "Europe/Berlin"},
        {"every": timedelta(hours=1)},
    ],
)
async def test_a_changed_schedule_begins_with_its_next_fire_time(changed: dict[str, Any]) -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    await scheduler_of(engine, spec_of(cron="0 3 * * *")).fire_due()
    clock.advance(minutes=90)
    scheduler = scheduler_of(engine, spec_of(**changed))
    await scheduler.fire_due()
    assert await fired(engine) == []
    clock.advance(days=1)
    await scheduler.fire_due()
    assert len(await fired(engine)) == 1


async def test_a_schedule_that_is_changed_back_does_not_fire_the_past() -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    for hour in ("3", "11", "3"):
        await scheduler_of(engine, spec_of(cron=f"0 {hour} * * *")).fire_due()
        clock.advance(days=1)
    assert await fired(engine) == []


async def test_two_versions_side_by_side_fire_a_time_that_they_share_once() -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    old, new = (
        scheduler_of(engine, spec_of(cron="0 3 * * *")),
        scheduler_of(engine, spec_of(cron="0 3,4 * * *", timezone="Europe/London")),
    )
    for _ in range(24 * 60):
        clock.advance(minutes=1)
        await old.fire_due()
        await new.fire_due()
    assert await fired(engine) == [*days(2), *days(2, hour=4)]


async def test_a_schedule_that_is_removed_is_forgotten_after_a_month() -> None:
    clock = Clock()
    engine = MemoryEngine(clock)
    spec = spec_of(cron="0 3 * * *")
    removed = scheduler_of(engine, spec)
    await removed.fire_due()
    clock.advance(days=1)
    await removed.fire_due()
    others = scheduler_of(engine)
    await others.fire_due()
    clock.advance(days=29)
    await others.fire_due()
    assert len(await engine.schedules()) == 1
    clock.advance(days=2)
    await others.fire_due()
    assert await engine.schedules() == []


async def test_a_database_is_asked_only_for_what_is_due() -> None:
    class Counting(MemoryEngine):
        noted = 0

        async def note_schedule(self, schedule: str, definition: str, now: datetime) -> datetime:
            self.noted += 1
            return await super().note_schedule(schedule, definition, now)

    clock = Clock()
    engine = Counting(clock)
    scheduler = scheduler_of(engine, spec_of(every=timedelta(seconds=1)), spec_of(stay, cron="0 3 * * *"))
    for _ in range(50):
        await scheduler.fire_due()
        clock.advance(seconds=1)
    assert engine.noted == 51, "the nightly one once"


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
    async with asyncio.timeout(60):
        while await waiting(engine) < 2 or not metrics.value("queue_ready", {"queue": "work"}):
            await asyncio.sleep(0.01)
        stop.set()
        await task


async def test_the_gauges_tell_how_each_queue_stands() -> None:
    clock = Clock()

    class Counted(MemoryEngine):
        async def counts(self) -> list[QueueCounts]:
            return [QueueCounts("other", 1, 2, 3, 4, 5, 0, clock.moment - timedelta(seconds=90))]

    metrics = MetricRegistry(CATALOGUE)
    engine = Counted(clock)
    await engine.operations.pause("other")
    await engine.operations.pause("work", "tick")
    scheduler = Scheduler(engine, [spec_of(every=timedelta(seconds=1))], QUEUES, metrics=metrics)
    await scheduler.observe()

    def value(name: str, queue: str) -> float | None:
        return metrics.value(name, {"queue": queue})

    names = ("queue_scheduled", "queue_ready", "queue_running", "queue_dead", "queue_blocked", "queue_paused")
    assert [value(name, "other") for name in names] == [1, 2, 3, 4, 5, 1]
    assert [value(name, "work") for name in names] == [0, 0, 0, 0, 0, 0]
    assert metrics.value("job_paused", {"queue": "work", "job": "tick"}) == 1
    await engine.operations.resume("work", "tick")
    await scheduler.observe()
    assert metrics.value("job_paused", {"queue": "work", "job": "tick"}) == 0
    now = clock.moment.timestamp()
    assert value("queue_oldest_ready_timestamp_seconds", "other") == now - 90
    assert value("queue_oldest_ready_timestamp_seconds", "work") == now


def test_a_repeating_job_needs_nothing_from_a_caller() -> None:
    async def fetch(url: str) -> None: ...

    with pytest.raises(DeclarationError, match="nobody passes its url"):
        spec_of(fetch, every=timedelta(minutes=1))
    with pytest.raises(DeclarationError, match="five"):
        spec_of(cron="hourly")
    assert spec_of().schedule is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cron": "0 3 * * *", "timezone": "Europe/Berln"}, "did you mean 'Europe/Berlin'"),
        ({"every": timedelta(hours=1), "timezone": "Europe/Berlin"}, "without cron="),
        ({"timezone": "Europe/Berlin"}, "without cron="),
        ({"every": timedelta(hours=1), "missed": "both"}, "missed='both'; it is one of 'latest', 'all', 'skip'"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        spec_of(**options)
    assert message in str(refused.value)


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
