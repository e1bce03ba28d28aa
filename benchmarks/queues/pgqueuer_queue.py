"""pgqueuer on asyncpg, started with `PgQueuer.run`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from .subject import background


class PgqueuerQueue:
    """One worker that fetches `batch` jobs at a time."""

    def __init__(self, batch: int) -> None:
        """`batch` is 10 by default in pgqueuer; 100 is its fastest here."""
        self._batch = batch

    @asynccontextmanager
    async def opened(self, dsn: str, ran: Callable[[], None]) -> AsyncIterator[PgqueuerQueue]:
        """Install the schema; enqueuing and working have a connection each."""
        producer, consumer = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
        self._queries = Queries(AsyncpgDriver(producer))
        await self._queries.install()
        self._app = PgQueuer(AsyncpgDriver(consumer))

        @self._app.entrypoint("noop")
        async def noop(_job: Job) -> None:
            ran()

        try:
            yield self
        finally:
            for connection in (producer, consumer):
                connection.terminate()

    async def enqueue_one(self) -> None:
        """Add one job."""
        await self._queries.enqueue("noop", b'{"number":1}')

    async def enqueue_many(self, count: int) -> None:
        """Add jobs in one statement."""
        await self._queries.enqueue(["noop"] * count, [b'{"number":1}'] * count, [0] * count)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run one worker."""
        running = self._app.run(batch_size=self._batch, dequeue_timeout=timedelta(seconds=1))
        async with background(asyncio.create_task(running)):
            yield
            self._app.shutdown.set()
