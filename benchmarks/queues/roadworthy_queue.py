"""Roadworthy, with all that it does by default: fencing, heartbeats, retries, dead letters, metrics, log context."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from datetime import timedelta

import uvloop

from roadworthy.database import driver
from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.jobs.arguments import Arguments
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.enqueue import new_job
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.postgres import MIGRATIONS, PostgresEngine
from roadworthy.jobs.spec import JobSpec, QueueSpec
from roadworthy.jobs.worker import Worker
from roadworthy.telemetry import logging
from roadworthy.telemetry.registry import MetricRegistry

from .marks import mark
from .subject import Subject


async def noop(number: int) -> None:
    """Mark it."""
    mark(number)


class Queue(Subject):
    """One worker with the queue's default concurrency; jobs that ended may be kept for an hour."""

    def __init__(self, url: str, queue: str, *, keep: bool = False) -> None:
        super().__init__(url, queue)
        logging.configure(level="warning")
        self._job = JobSpec("noop", queue, noop, Arguments.of(noop), keep=timedelta(hours=1) if keep else None)

    async def install(self) -> None:
        """Apply the migrations."""
        connection = await driver.connect(self.url)
        for migration in sorted(MIGRATIONS.glob("*.sql")):
            await connection.execute(migration.read_text(encoding="utf-8"))
        await connection.close()

    async def open(self) -> None:
        """Connect as a service does."""
        self._pool = await Pool.open(self.url, DatabaseSpec("main"))
        self._connection = await driver.connect(self.url)
        self._engine = PostgresEngine(self._pool, self.url, metrics=MetricRegistry(CATALOGUE))

    def _new(self, number: int) -> NewJob:
        return new_job(self._job, self._job.arguments.bind(number=number))

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        await self._engine.enqueue([self._new(number)])

    async def enqueue_in_transaction(self, number: int) -> None:
        """Add one job on a connection with a transaction."""
        async with self._connection.transaction():
            await self._engine.enqueue([self._new(number)], connection=self._connection)

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Add jobs in one statement."""
        await self._engine.enqueue([self._new(number) for number in numbers])

    def work(self) -> None:
        """Run one worker."""
        uvloop.run(self._work())

    async def _work(self) -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with await Pool.open(self.url, DatabaseSpec("main")) as pool:
            metrics = MetricRegistry(CATALOGUE)
            engine = PostgresEngine(pool, self.url, metrics=metrics)
            try:
                await Worker(engine, [self._job], [QueueSpec(self.queue)], name="bench", metrics=metrics).run(stop)
            finally:
                await engine.close()
