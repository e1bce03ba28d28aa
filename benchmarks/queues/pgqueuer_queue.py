"""pgqueuer on asyncpg and uvloop, started with `PgQueuer.run`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from .marks import mark
from .subject import Subject


class Queue(Subject):
    """One worker that fetches `batch` jobs at a time."""

    def __init__(self, url: str, queue: str, batch: int) -> None:
        super().__init__(url, queue)
        self._batch = batch

    async def install(self) -> None:
        """Install the schema."""
        connection = await asyncpg.connect(self.url)
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()

    async def open(self) -> None:
        """Connect."""
        self._connection = await asyncpg.connect(self.url)
        self._queries = Queries(AsyncpgDriver(self._connection))

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        await self._queries.enqueue(self.queue, b"%d" % number)

    async def enqueue_in_transaction(self, number: int) -> None:
        """Add one job on a connection with a transaction."""
        async with self._connection.transaction():
            await self._queries.enqueue(self.queue, b"%d" % number)

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Add jobs in one statement."""
        count = len(numbers)
        await self._queries.enqueue([self.queue] * count, [b"%d" % number for number in numbers], [0] * count)

    def work(self) -> None:
        """Run one worker."""
        uvloop.run(self._work())

    async def _work(self) -> None:
        app = PgQueuer(AsyncpgDriver(await asyncpg.connect(self.url)))

        @app.entrypoint(self.queue)
        async def noop(job: Job) -> None:
            mark(int(job.payload or b"0"))

        await app.run(batch_size=self._batch, dequeue_timeout=timedelta(seconds=1))
