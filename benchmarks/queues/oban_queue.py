"""Oban for Python on psycopg, with its defaults but for the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import uvloop
from oban import Job, Oban, worker
from oban.schema import install

from .marks import mark
from .subject import Subject


@worker()
class Noop:
    """The job."""

    async def process(self, job: Job) -> None:
        """Mark it."""
        mark(job.args["number"])


class Queue(Subject):
    """One queue that runs `limit` jobs at once."""

    def __init__(self, url: str, queue: str, limit: int) -> None:
        super().__init__(url, queue)
        self._limit = limit

    async def install(self) -> None:
        """Install the schema."""
        pool = await Oban.create_pool(self.url, min_size=1, max_size=1)
        await install(pool)
        await pool.close()

    async def open(self) -> None:
        """Start a client, which only enqueues."""
        self._pool = await Oban.create_pool(self.url)
        self._oban = await Oban(pool=self._pool).start()

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        await self._oban.enqueue(Noop.new({"number": number}, queue=self.queue))

    async def enqueue_in_transaction(self, number: int) -> None:
        """Add one job on a connection with a transaction."""
        async with self._pool.connection() as connection, connection.transaction():
            await self._oban.enqueue(Noop.new({"number": number}, queue=self.queue), conn=connection)

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Add jobs in one call."""
        await self._oban.enqueue_many([Noop.new({"number": number}, queue=self.queue) for number in numbers])

    def work(self) -> None:
        """Run one node."""
        uvloop.run(self._work())

    async def _work(self) -> None:
        pool = await Oban.create_pool(self.url)
        async with Oban(pool=pool, queues={self.queue: self._limit}):
            await asyncio.Event().wait()
