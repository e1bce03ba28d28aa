"""SAQ on PostgreSQL."""

from __future__ import annotations

from typing import Any

import uvloop
from saq import Queue as SaqQueue
from saq import Worker

from .marks import mark
from .subject import Subject


async def noop(_context: Any, *, number: int) -> None:
    """Mark it."""
    mark(number)


class Queue(Subject):
    """One worker with `concurrency` jobs at once. Results are not kept."""

    def __init__(self, url: str, queue: str, concurrency: int) -> None:
        super().__init__(url, queue)
        self._concurrency = concurrency

    async def install(self) -> None:
        """Let the queue make its tables."""
        queue = SaqQueue.from_url(self.url, name=self.queue)
        await queue.connect()
        await queue.disconnect()

    async def open(self) -> None:
        """Connect."""
        self._saq = SaqQueue.from_url(self.url, name=self.queue)
        await self._saq.connect()

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        await self._saq.enqueue("noop", number=number, ttl=-1)

    def work(self) -> None:
        """Run one worker."""
        uvloop.run(self._work())

    async def _work(self) -> None:
        queue = SaqQueue.from_url(self.url, name=self.queue)
        await queue.connect()
        await Worker(queue, functions=[noop], concurrency=self._concurrency).start()
