"""The limit: a table, a claim and a delete in batches, and nothing that a job queue is for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg

from .subject import background

_TABLE = """
CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, taken boolean NOT NULL DEFAULT false, job text);
CREATE INDEX ON bare (id) WHERE NOT taken
"""
_CLAIM = """
UPDATE bare SET taken = true
WHERE id = ANY (ARRAY(SELECT id FROM bare WHERE NOT taken ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING id
"""


class BareSql:
    """Claims `batch` jobs with one statement, calls them one after the other, deletes them with another."""

    def __init__(self, batch: int) -> None:
        self._batch = batch

    @asynccontextmanager
    async def opened(self, dsn: str, ran: Callable[[], None]) -> AsyncIterator[BareSql]:
        """Create the table."""
        self._ran = ran
        self._producer, self._consumer = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
        await self._producer.execute(_TABLE)
        self._arrived = asyncio.Event()
        await self._consumer.add_listener("bare", lambda *_: self._arrived.set())
        try:
            yield self
        finally:
            self._producer.terminate()
            self._consumer.terminate()

    async def enqueue_one(self) -> None:
        """Add one job, and wake the worker."""
        await self._producer.execute("INSERT INTO bare (job) VALUES ($1)", "noop")
        await self._producer.execute("NOTIFY bare")

    async def enqueue_many(self, count: int) -> None:
        """Add jobs in one statement."""
        await self._producer.execute("INSERT INTO bare (job) SELECT unnest($1::text[])", ["noop"] * count)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run the loop."""
        async with background(asyncio.create_task(self._work())):
            yield

    async def _work(self) -> None:
        while True:
            self._arrived.clear()
            rows = await self._consumer.fetch(_CLAIM, self._batch)
            for _ in rows:
                self._ran()
            if rows:
                await self._consumer.execute("DELETE FROM bare WHERE id = ANY ($1)", [row[0] for row in rows])
            else:
                await self._arrived.wait()
