"""The limit on PostgreSQL: a table, a claim and a delete in batches, and nothing that a job queue is for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg
import uvloop

from .marks import mark
from .subject import Subject

_TABLE = """
CREATE TABLE bare (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, taken boolean NOT NULL DEFAULT false, queue text, number bigint
);
CREATE INDEX ON bare (queue, id) WHERE NOT taken
"""
_CLAIM = """
UPDATE bare SET taken = true
WHERE id = ANY (ARRAY(
    SELECT id FROM bare WHERE NOT taken AND queue = $2 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
))
RETURNING id, number
"""


class Queue(Subject):
    """Claims `batch` jobs with one statement, runs them one after the other, deletes them with another."""

    def __init__(self, url: str, queue: str, batch: int) -> None:
        super().__init__(url, queue)
        self._batch = batch

    async def install(self) -> None:
        """Create the table."""
        connection = await asyncpg.connect(self.url)
        await connection.execute(_TABLE)
        await connection.close()

    async def open(self) -> None:
        """Connect."""
        self._connection = await asyncpg.connect(self.url)

    async def enqueue_one(self, number: int) -> None:
        """Add one job, and wake the worker."""
        await self._connection.execute("INSERT INTO bare (queue, number) VALUES ($1, $2)", self.queue, number)
        await self._connection.execute("NOTIFY bare")

    async def enqueue_in_transaction(self, number: int) -> None:
        """Add one job between a begin and a commit."""
        async with self._connection.transaction():
            await self._connection.execute("INSERT INTO bare (queue, number) VALUES ($1, $2)", self.queue, number)
        await self._connection.execute("NOTIFY bare")

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Add jobs in one statement, and wake the worker."""
        await self._connection.execute(
            "INSERT INTO bare (queue, number) SELECT $1, unnest($2::bigint[])", self.queue, numbers
        )
        await self._connection.execute("NOTIFY bare")

    def work(self) -> None:
        """Run the loop."""
        uvloop.run(self._work())

    async def _work(self) -> None:
        connection = await asyncpg.connect(self.url)
        listener = await asyncpg.connect(self.url)
        arrived = asyncio.Event()
        await listener.add_listener("bare", lambda *_: arrived.set())
        while True:
            arrived.clear()
            rows = await connection.fetch(_CLAIM, self._batch, self.queue)
            for _, number in rows:
                mark(number)
            if rows:
                await connection.execute("DELETE FROM bare WHERE id = ANY ($1)", [row[0] for row in rows])
            else:
                await arrived.wait()
