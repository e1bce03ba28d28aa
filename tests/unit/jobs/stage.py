"""A worker on the engine in memory, and the means to look at both."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from roadworthy.jobs.arguments import Arguments
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.spec import Backoff, JobSpec, QueueSpec
from roadworthy.jobs.worker import Worker
from roadworthy.telemetry.registry import MetricRegistry

QUICKLY = Backoff(base=timedelta(milliseconds=1))


def spec_of(function: Callable[..., Any], **options: Any) -> JobSpec:
    options.setdefault("runs", "loop" if inspect.iscoroutinefunction(function) else "thread")
    return JobSpec(function.__name__, options.pop("queue", "work"), function, Arguments.of(function), **options)


def events(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@dataclass
class Stage:
    """A running worker."""

    engine: MemoryEngine
    metrics: MetricRegistry
    stop: asyncio.Event
    task: asyncio.Task[None]
    worker: Worker

    async def enqueue(self, name: str, count: int = 1, *, attempts: int = 3, **more: Any) -> None:
        await self.engine.enqueue([NewJob("work", name, json.dumps(more).encode(), attempts) for _ in range(count)])

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(60):
            while not await condition():
                assert not self.task.done(), "the worker ended"
                await asyncio.sleep(0.005)

    async def states(self) -> list[str]:
        return [record.state for record in await self.engine.operations.jobs(limit=1000)]

    async def emptied(self) -> None:
        await self.came_to()

    async def came_to(self, *states: str) -> None:
        async def reached() -> bool:
            return sorted(await self.states()) == sorted(states)

        await self.until(reached)

    async def failure(self) -> dict[str, Any]:
        """Return the last failure of the only job."""
        (record,) = await self.engine.operations.jobs()
        return record.failures[-1]

    def count(self, job: str, outcome: str) -> float:
        labels = {"queue": "work", "job": job, "outcome": outcome}
        return self.metrics.value("jobs_finished_total", labels) or 0.0

    async def ended(self, seconds: float = 60.0) -> None:
        self.stop.set()
        async with asyncio.timeout(seconds):
            await self.task


@asynccontextmanager
async def working(
    *jobs: JobSpec,
    queues: Sequence[QueueSpec] | None = None,
    grace: float = 5.0,
    abandon: Callable[[], object] | None = None,
    **queue: Any,
) -> AsyncIterator[Stage]:
    """Run a worker within the block; it must end well unless the block has seen its end."""
    engine = MemoryEngine()
    metrics = MetricRegistry(CATALOGUE)
    worker = Worker(
        engine,
        jobs,
        queues or [QueueSpec("work", backoff=QUICKLY, **queue)],
        name="w",
        metrics=metrics,
        poll=timedelta(milliseconds=20),
        abandon=abandon,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(stop, timedelta(seconds=grace)))
    stage = Stage(engine, metrics, stop, task, worker)
    try:
        yield stage
        if not task.done():
            await stage.ended()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=60)
