"""The autoscaler over virtual time, with processes that are there and do nothing."""

from __future__ import annotations

import asyncio
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from roadworthy import seconds
from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.limits import Limit
from roadworthy.jobs.metrics import CATALOGUE, JOB_DURATION
from roadworthy.jobs.operations import Pause, QueueCounts
from roadworthy.jobs.spec import QueueSpec
from roadworthy.runtime.autoscaler import SYNC, Autoscaler, durations, worker_plan
from roadworthy.runtime.supervisor import Archive, ProcessPlan
from roadworthy.runtime.usage import Use
from roadworthy.scaling.spec import Resources, Scaling
from roadworthy.telemetry import logging
from roadworthy.telemetry.exposition import Snapshot
from roadworthy.telemetry.registry import MetricRegistry

LARGE = QueueSpec("mail", workers=(2, 20), concurrency=1, target_latency=seconds(10))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logging.configure("json", "info", stream)
    yield stream
    logging.configure()


@dataclass
class Queues:
    """An engine of which only the counts are asked for."""

    ready: int = 0
    running: int = 0
    blocked: int = 0
    away: bool = False
    broken: bool = False
    promoted: int = 0
    paused: list[Pause] = field(default_factory=list)

    @property
    def operations(self) -> Queues:
        return self

    async def pauses(self) -> list[Pause]:
        return self.paused

    async def counts(self) -> list[QueueCounts]:
        if self.away:
            raise DatabaseUnavailable("it is away")
        if self.broken:
            raise RuntimeError("a defect")
        return [QueueCounts("mail", 0, self.ready, self.running, 0, self.blocked, self.blocked, None)]

    async def promote(self, *, limit: int = 1000) -> timedelta | None:
        self.promoted += 1
        return None


@dataclass
class Worker:
    plan: ProcessPlan
    retiring: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> SimpleNamespace:
        return SimpleNamespace(pid=int(self.plan.name.rpartition("-")[2]))

    async def retire(self) -> None:
        self.retiring = True


@dataclass
class Workers:
    """A supervisor whose processes come up at once and, retired, stay until told otherwise."""

    processes: list[Worker] = field(default_factory=list)
    archive: Archive = field(default_factory=Archive)
    slow: bool = False

    def add(self, plan: ProcessPlan) -> None:
        worker = Worker(plan)
        if not self.slow:
            worker.ready.set()
        self.processes.append(worker)

    def bury(self) -> None:
        self.processes = [worker for worker in self.processes if not worker.retiring]

    async def snapshots(self) -> dict[str, Snapshot]:
        return {}

    def names(self) -> list[str]:
        return [worker.plan.name for worker in self.processes if not worker.retiring]


class Stage:
    def __init__(self, queue: QueueSpec, **scaling: Scaling) -> None:
        self.now = 1000.0
        self.queues = Queues()
        self.workers = Workers()
        self.metrics = MetricRegistry(CATALOGUE)
        for number in range(1, queue.workers[0] + 1):
            self.workers.add(worker_plan(queue, number))
        self.autoscaler = Autoscaler(
            [queue],
            cast(Any, self.queues),
            cast(Any, self.workers),
            self.metrics,
            scaling=scaling,
            clock=lambda: self.now,
            use=self.use,
        )
        self.cores: float | None = 0.0
        self.memory = 0
        self.used: dict[int, float] = defaultdict(float)

    def use(self, pids: Iterable[int]) -> dict[int, Use] | None:
        """Share out what was used since the last look among the workers."""
        if self.cores is None:
            return None
        share = self.cores / max(len(self.workers.names()), 1)
        for pid in pids:
            self.used[pid] += share * SYNC.total_seconds()
        return {pid: Use(self.used[pid], self.memory) for pid in pids}

    async def sync(self, times: int = 1) -> int:
        for _ in range(times):
            self.now += SYNC.total_seconds()
            await self.autoscaler.sync()
        return len(self.workers.names())

    def ended(self, count: int, took: float) -> None:
        registry = MetricRegistry(CATALOGUE)
        for _ in range(count):
            registry.bound(JOB_DURATION).labels("mail", "send").observe(took)
        self.workers.archive.retire(registry.snapshot())


def events(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def test_a_burst_reaches_the_bound_within_a_minute_and_returns_after_the_window(log: io.StringIO) -> None:
    stage = Stage(LARGE)
    stage.ended(10, 1.0)
    stage.queues.running, stage.queues.ready = 2, 0
    assert await stage.sync() == 2
    stage.queues.ready = 200
    began = stage.now
    while await stage.sync() < 20:
        assert stage.now - began < 60
    assert stage.metrics.value("queue_desired_workers", {"queue": "mail"}) == 22
    stage.queues.ready = 0
    began = stage.now
    while await stage.sync() > 2:
        stage.workers.bury()
        assert stage.now - began <= 305
    assert stage.now - began >= 300
    lines = events(log)
    assert [(line["before"], line["workers"]) for line in lines] == [(2, 6), (6, 12), (12, 20), (20, 2)]
    assert lines[0]["reason"] == "queue_desired_workers above target, limited by the policies or bounds"
    assert lines[-1]["reason"] == "all metrics below target"


async def test_noise_for_an_hour_makes_few_changes(log: io.StringIO) -> None:
    stage = Stage(LARGE)
    stage.ended(10, 1.0)
    for number in range(720):
        stage.queues.running = 6 + number % 3
        stage.queues.ready = (number * 37) % 40
        await stage.sync()
        stage.workers.bury()
    changes = [line["workers"] - line["before"] for line in events(log)]
    assert all(change > 0 for change in changes), "noise never takes one away only to bring it back"
    assert len(changes) <= 4


async def test_without_a_known_duration_every_waiting_job_counts() -> None:
    stage = Stage(LARGE)
    stage.queues.ready = 5
    assert await stage.sync() == 5


async def test_the_database_being_away_changes_nothing_and_is_told_once(log: io.StringIO) -> None:
    stage = Stage(LARGE)
    stage.queues.ready = 5
    await stage.sync()
    stage.queues.away = True
    assert await stage.sync(3) == 5
    stage.queues.away = False
    stage.queues.ready = 6
    assert await stage.sync() == 6
    assert [line["event"] for line in events(log)] == [
        "scaling",
        "cannot see the queues; the number of workers stays",
        "scaling",
    ]


async def test_from_zero_and_back() -> None:
    stage = Stage(QueueSpec("mail", workers=(0, 1), scale_in_after=seconds(0)))
    assert await stage.sync() == 0
    assert stage.queues.promoted == 1
    stage.queues.ready = 1
    assert await stage.sync() == 1
    stage.queues.ready, stage.queues.running = 0, 1
    promoted = stage.queues.promoted
    assert await stage.sync() == 1
    assert stage.queues.promoted == promoted, "the worker does that"
    stage.queues.running = 0
    assert await stage.sync() == 0


async def test_who_goes_and_which_names_are_free() -> None:
    stage = Stage(QueueSpec("mail", workers=(1, 3), concurrency=1, scale_in_after=seconds(0)))
    stage.queues.running = 3
    await stage.sync()
    assert stage.workers.names() == ["worker-mail-1", "worker-mail-2", "worker-mail-3"]
    stage.workers.processes[1].ready.clear()
    stage.queues.running = 2
    await stage.sync()
    assert stage.workers.names() == ["worker-mail-1", "worker-mail-3"], "first whoever is not there anyway"
    stage.queues.running = 1
    await stage.sync()
    assert stage.workers.names() == ["worker-mail-1"], "then the youngest"
    stage.queues.running = 3
    await stage.sync(2)
    assert stage.workers.names() == ["worker-mail-1", "worker-mail-4", "worker-mail-5"], "two finish their last jobs"
    stage.workers.bury()
    stage.queues.running = 2
    await stage.sync()
    stage.queues.running = 3
    await stage.sync(2)
    assert stage.workers.names() == ["worker-mail-1", "worker-mail-4", "worker-mail-2"]


async def test_never_more_than_twice_the_most() -> None:
    stage = Stage(QueueSpec("mail", workers=(0, 2), concurrency=1, scale_in_after=seconds(0)))
    for _ in range(20):
        stage.queues.running = 2
        await stage.sync()
        stage.queues.running = 0
        await stage.sync()
    assert len(stage.workers.processes) == 4


async def test_a_fixed_number_stays_and_is_still_told() -> None:
    stage = Stage(QueueSpec("mail", workers=(2, 2), concurrency=1))
    stage.queues.running = 7
    assert await stage.sync(5) == 2
    assert stage.metrics.value("queue_desired_workers", {"queue": "mail"}) == 7


async def test_jobs_that_wait_for_a_limit_or_for_others_need_no_worker() -> None:
    stage = Stage(LARGE, mail=Scaling(depth=1))
    stage.queues.blocked = 10_000
    assert await stage.sync(20) == 2
    assert stage.metrics.value("queue_desired_workers", {"queue": "mail"}) == 1, "who looks after the limits"
    none = Stage(QueueSpec("mail", workers=(0, 5), scale_in_after=seconds(0)))
    none.queues.blocked = 10_000
    assert await none.sync(20) == 1
    none.queues.blocked = 0
    assert await none.sync() == 0


async def test_a_paused_queue_needs_no_more_workers() -> None:
    stage = Stage(LARGE, mail=Scaling(depth=1))
    stage.queues.ready = 10_000
    stage.queues.paused = [
        Pause("mail", None, datetime.now(UTC), "", ""),
        Pause("other", None, datetime.now(UTC), "", ""),
    ]
    assert await stage.sync(20) == 2
    stage.queues.paused = [Pause("mail", "send", datetime.now(UTC), "", "")]
    assert await stage.sync(20) == 20


async def test_no_more_workers_than_the_limit_of_the_queue_keeps_busy() -> None:
    queue = replace(LARGE, concurrency=2, limits=(Limit(at_once=9), Limit(at_once=1, per="{user}")))
    stage = Stage(queue)
    stage.queues.ready = 10_000
    assert await stage.sync(20) == 5


BY_USE = Scaling(cpu=50, memory=80, requests=Resources(cpu=1, memory=1000))


async def test_workers_are_added_for_what_they_use() -> None:
    stage = Stage(LARGE, mail=BY_USE)
    await stage.sync(4)
    assert len(stage.workers.names()) == 2
    stage.cores = 2.0
    await stage.sync(4)
    assert len(stage.workers.names()) == 4
    stage.cores, stage.memory = 0.0, 900
    await stage.sync()
    assert len(stage.workers.names()) == 5


async def test_a_worker_that_has_not_come_up_is_not_measured() -> None:
    stage = Stage(LARGE, mail=BY_USE)
    stage.workers.processes[1].ready.clear()
    stage.memory = 1000
    assert await stage.sync() == 2, "with one that uses nothing yet, it is on target"
    stage.workers.processes[1].ready.set()
    assert await stage.sync() == 3


async def test_a_machine_that_tells_nothing_is_told_of_once(log: io.StringIO) -> None:
    stage = Stage(LARGE, mail=BY_USE)
    stage.cores = None
    stage.queues.running = 5
    assert await stage.sync(3) == 5
    assert [line["event"] for line in events(log) if line["level"] == "warning"] == [
        "this machine does not tell what processes use; workers are scaled by the rest"
    ]
    stage.queues.running = 0
    assert await stage.sync(70) == 2


async def test_an_error_costs_one_look(log: io.StringIO) -> None:
    stage = Stage(LARGE)
    stage.queues.broken = True
    running = asyncio.create_task(stage.autoscaler.run(timedelta(milliseconds=1)))
    try:
        async with asyncio.timeout(60):
            while not log.getvalue():
                await asyncio.sleep(0.001)
            stage.queues.broken = False
            stage.queues.ready = 3
            while len(stage.workers.names()) < 3:
                await asyncio.sleep(0.001)
    finally:
        running.cancel()
    assert events(log)[0]["event"] == "scaling failed; it goes on"


def test_durations_of_all_processes_and_jobs() -> None:
    snapshots = []
    for job, took in (("send", 2.0), ("sort", 4.0)):
        registry = MetricRegistry(CATALOGUE)
        registry.bound(JOB_DURATION).labels("mail", job).observe(took)
        registry.bound(JOB_DURATION).labels("other", job).observe(1.0)
        snapshots.append(registry.snapshot())
    assert durations(snapshots) == {"mail": (2, 6.0), "other": (2, 2.0)}
