"""What was kept long enough is removed, in batches, as long as there is more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.engine import Bury, Done, Failure, JobOptions, NewJob
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.record import Record
from roadworthy.jobs.spec import QueueSpec
from roadworthy.jobs.upkeep import Upkeep
from roadworthy.telemetry.registry import MetricRegistry

HOUR = timedelta(hours=1)


class Stage:
    """An engine with jobs that have ended, and a clock."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)
        self.engine = MemoryEngine(lambda: self.now)
        self.queues = [QueueSpec("kept"), QueueSpec("pruned", keep_dead=HOUR)]
        self.upkeep = Upkeep(self.engine, self.queues, [], Record(MetricRegistry(CATALOGUE), "w"), poll=1.0)

    async def end(self, count: int, *, queue: str = "kept", dead: bool = False) -> None:
        job = replace(NewJob(queue, "send", b"{}", 1), options=JobOptions(keep=60.0))
        await self.engine.enqueue([job] * count)
        for held in await self.engine.claim(queue, limit=count, lease=HOUR, worker="w"):
            failure = Failure("ValueError", "no", "")
            ended = Bury(held.id, held.lease, failure) if dead else Done(held.id, held.lease, b"1")
            await self.engine.complete([ended])

    async def left(self) -> int:
        return len(await self.engine.operations.jobs(limit=10_000))


async def test_what_is_kept_for_a_time_goes_and_what_is_kept_for_good_stays() -> None:
    stage = Stage()
    await stage.end(3)
    await stage.end(2, dead=True)
    await stage.end(4, queue="pruned", dead=True)
    assert not await stage.upkeep.prune_once()
    assert await stage.left() == 9
    stage.now += timedelta(minutes=2)
    await stage.upkeep.prune_once()
    assert await stage.left() == 6
    stage.now += 2 * HOUR
    await stage.upkeep.prune_once()
    assert {record.queue for record in await stage.engine.operations.jobs()} == {"kept"}


async def test_pruning_goes_on_while_there_is_more_and_waits_out_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.jobs.upkeep._BATCH", 10)
    stage = Stage()
    await stage.end(95)
    stage.now += HOUR
    original = stage.engine.flows.prune
    calls: list[int] = []

    async def flaky(*, limit: int = 1000) -> int:
        calls.append(limit)
        if len(calls) == 3:
            raise DatabaseUnavailable("away")
        return await original(limit=limit)

    monkeypatch.setattr(stage.engine.flows, "prune", flaky)
    pruning = asyncio.create_task(stage.upkeep.prune())
    async with asyncio.timeout(60):
        while await stage.left():
            await asyncio.sleep(0.005)
    pruning.cancel()
    assert calls == [10] * 11
