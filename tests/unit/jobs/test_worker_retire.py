"""A worker that retires: it takes nothing more, and nothing that it runs is cut short."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from roadworthy.jobs.arguments import Arguments
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.operations import QueueCounts
from roadworthy.jobs.spec import JobSpec, QueueSpec
from roadworthy.jobs.worker import Worker
from roadworthy.telemetry.registry import MetricRegistry


class Stage:
    """A worker with two slots whose jobs last until they are told to end."""

    def __init__(self) -> None:
        self.engine = MemoryEngine()
        self.metrics = MetricRegistry(CATALOGUE)
        self.stop = asyncio.Event()
        self.end = asyncio.Event()
        self.begun = 0
        self.clock = 0.0

        async def hold() -> None:
            self.begun += 1
            await self.end.wait()

        self.worker = Worker(
            self.engine,
            [JobSpec("hold", "work", hold, Arguments.of(hold))],
            [QueueSpec("work", concurrency=2)],
            name="w1",
            metrics=self.metrics,
            poll=timedelta(milliseconds=20),
            wall_clock=lambda: self.clock,
        )

    async def enqueue(self, count: int) -> None:
        await self.engine.enqueue([NewJob("work", "hold", b"{}", 3)] * count)

    async def counts(self) -> QueueCounts:
        (found,) = await self.engine.counts()
        return found

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(60):
            while self.begun < count:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def working() -> AsyncIterator[Stage]:
    stage = Stage()
    running = asyncio.create_task(stage.worker.run(stage.stop, timedelta(milliseconds=50)))
    try:
        yield stage
    finally:
        stage.stop.set()
        async with asyncio.timeout(60):
            await running


async def test_it_finishes_what_it_runs_and_takes_nothing_more() -> None:
    async with working() as stage:
        await stage.enqueue(2)
        await stage.until_begun(2)
        retiring = asyncio.create_task(stage.worker.retire())
        await asyncio.sleep(0)
        await stage.enqueue(3)
        stage.clock = 77.0
        async with asyncio.timeout(60):
            while stage.metrics.value("worker_heartbeat_timestamp_seconds", {"worker": "w1"}) != 77.0:
                await asyncio.sleep(0.005)
        assert not retiring.done(), "far beyond the grace of the end"
        counts = await stage.counts()
        assert (counts.ready, counts.running) == (3, 2)
        stage.end.set()
        async with asyncio.timeout(60):
            await retiring
        counts = await stage.counts()
        assert (counts.ready, counts.running, stage.begun) == (3, 0, 2)
        labels = {"queue": "work", "job": "hold", "outcome": "succeeded"}
        assert stage.metrics.value("jobs_finished_total", labels) == 2


async def test_one_with_nothing_in_hand_is_done_at_once() -> None:
    async with working() as stage, asyncio.timeout(60):
        await stage.worker.retire()


async def test_told_to_stop_meanwhile_it_drains_within_its_grace() -> None:
    async with working() as stage:
        await stage.enqueue(2)
        await stage.until_begun(2)
        retiring = asyncio.create_task(stage.worker.retire())
        await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await retiring
    counts = await stage.counts()
    assert (counts.ready, counts.running) == (2, 0)
