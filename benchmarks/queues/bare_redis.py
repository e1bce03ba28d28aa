"""The limit on Redis: a stream, read, acknowledged and trimmed in batches."""

from __future__ import annotations

from collections.abc import Sequence

import redis
import redis.asyncio

from .marks import mark
from .subject import Subject


class Queue(Subject):
    """Reads `batch` entries at a time as one consumer of a group, and deletes them in a pipeline."""

    def __init__(self, url: str, queue: str, batch: int) -> None:
        super().__init__(url, queue)
        self._batch = batch

    async def install(self) -> None:
        """Make the group."""
        await redis.asyncio.from_url(self.url).xgroup_create(self.queue, "workers", id="0", mkstream=True)

    async def open(self) -> None:
        """Connect."""
        self._redis = redis.asyncio.from_url(self.url)

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        await self._redis.xadd(self.queue, {"n": number})

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Add jobs in one pipeline."""
        pipeline = self._redis.pipeline(transaction=False)
        for number in numbers:
            pipeline.xadd(self.queue, {"n": number})
        await pipeline.execute()

    def work(self) -> None:
        """Run the loop."""
        client = redis.from_url(self.url)
        while True:
            for _, entries in client.xreadgroup("workers", "one", {self.queue: ">"}, count=self._batch, block=1000):
                for _, fields in entries:
                    mark(int(fields[b"n"]))
                ids = [id for id, _ in entries]
                pipeline = client.pipeline(transaction=False)
                pipeline.xack(self.queue, "workers", *ids)
                pipeline.xdel(self.queue, *ids)
                pipeline.execute()
