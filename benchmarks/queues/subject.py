"""What the benchmark asks of a queue, and the measuring itself, which is the same for all."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from statistics import quantiles
from typing import Protocol


class Subject(Protocol):
    """A job queue whose one job does nothing but call `ran`."""

    def opened(self, dsn: str, ran: Callable[[], None]) -> AbstractAsyncContextManager[Subject]:
        """Install the queue into an empty database and connect to it."""

    async def enqueue_one(self) -> None:
        """Add one job, durably."""

    async def enqueue_many(self, count: int) -> None:
        """Add `count` jobs with the queue's bulk interface."""

    def working(self) -> AbstractAsyncContextManager[None]:
        """Run a worker in this process for the length of the block."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure: jobs to drain, single enqueues, and pickups."""

    drain: int
    singles: int
    pickups: int


class Counter:
    """Counts runs, and remembers when the first and the latest were."""

    def __init__(self) -> None:
        self.expect(1)

    def expect(self, count: int) -> None:
        """Begin to wait for `count` runs."""
        self.count, self.first, self.last = 0, 0.0, 0.0
        self.wanted = count
        self.reached = asyncio.Event()

    def ran(self) -> None:
        """Note one run."""
        self.last = time.perf_counter()
        if self.count == 0:
            self.first = self.last
        self.count += 1
        if self.count == self.wanted:
            self.reached.set()


async def measure(subject: Subject, dsn: str, size: Size) -> dict[str, float]:
    """Return one sample of each measure."""
    counter = Counter()
    async with subject.opened(dsn, counter.ran) as queue:
        samples = {"enqueue, one at a time": await _enqueue_singly(queue, size.singles)}
        many = size.drain - size.singles
        samples["enqueue, 500 at once"] = await _enqueue_in_bulk(queue, many)
        counter.expect(size.drain)
        async with queue.working():
            async with asyncio.timeout(120):
                await counter.reached.wait()
            samples["processed, backlog"] = size.drain / (counter.last - counter.first)
            await asyncio.sleep(0.5)
            pickups = await _pick_up(queue, counter, size.pickups)
    samples["pickup when idle, p50"] = quantiles(pickups, n=100)[49]
    samples["pickup when idle, p99"] = quantiles(pickups, n=100, method="inclusive")[98]
    return samples


async def _enqueue_singly(queue: Subject, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        await queue.enqueue_one()
    return count / (time.perf_counter() - started)


async def _enqueue_in_bulk(queue: Subject, count: int) -> float:
    started = time.perf_counter()
    for done in range(0, count, 500):
        await queue.enqueue_many(min(500, count - done))
    return count / (time.perf_counter() - started)


async def _pick_up(queue: Subject, counter: Counter, count: int) -> list[float]:
    """Return how many milliseconds pass from the call that enqueues a job until it runs, on an idle worker."""
    draw = random.Random(7)
    taken: list[float] = []
    for _ in range(count):
        counter.expect(1)
        started = time.perf_counter()
        await queue.enqueue_one()
        async with asyncio.timeout(30):
            await counter.reached.wait()
        taken.append((counter.last - started) * 1000)
        await asyncio.sleep(draw.uniform(0.03, 0.09))
    return taken


@asynccontextmanager
async def background(task: asyncio.Task[object]) -> AsyncIterator[None]:
    """Cancel `task` at the end of the block, and wait for it a little."""
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)
