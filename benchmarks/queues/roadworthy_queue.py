"""Roadworthy, with all that it does by default: fencing, heartbeats, retries, dead letters, metrics, log context."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.jobs.arguments import Arguments
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.postgres import MIGRATIONS, PostgresEngine
from roadworthy.jobs.spec import JobSpec, QueueSpec
from roadworthy.jobs.worker import Worker
from roadworthy.telemetry import logging
from roadworthy.telemetry.registry import MetricRegistry


class RoadworthyQueue:
    """One worker with the queue's default concurrency of 10."""

    @asynccontextmanager
    async def opened(self, dsn: str, ran: Callable[[], None]) -> AsyncIterator[RoadworthyQueue]:
        """Open the engine."""
        logging.configure(level="warning")

        async def noop(number: int) -> None:
            ran()

        async with await Pool.open(dsn, DatabaseSpec("main")) as pool:
            for migration in sorted(MIGRATIONS.glob("*.sql")):
                await pool.execute(migration.read_text(encoding="utf-8"))
            self._arguments = Arguments.of(noop)
            self._job = JobSpec("noop", "work", noop, self._arguments)
            self._engine = PostgresEngine(pool, dsn)
            try:
                yield self
            finally:
                await self._engine.close()

    def _new(self) -> NewJob:
        return NewJob("work", "noop", self._arguments.encode(self._arguments.bind(number=1)), 5)

    async def enqueue_one(self) -> None:
        """Add one job."""
        await self._engine.enqueue([self._new()])

    async def enqueue_many(self, count: int) -> None:
        """Add jobs in one statement."""
        await self._engine.enqueue([self._new() for _ in range(count)])

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run one worker."""
        stop = asyncio.Event()
        worker = Worker(self._engine, [self._job], [QueueSpec("work")], name="bench", metrics=MetricRegistry(CATALOGUE))
        task = asyncio.create_task(worker.run(stop, timedelta(seconds=5)))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait([task], timeout=10)
