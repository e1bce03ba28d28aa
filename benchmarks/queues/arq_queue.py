"""arq, polling as often as makes sense."""

from __future__ import annotations

from typing import Any

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

from .marks import mark
from .subject import Subject


async def noop(_context: Any, number: int) -> None:
    """Mark it."""
    mark(number)


class Queue(Subject):
    """One worker of `jobs` at once that looks every `poll` seconds (0.5 by default). Results are not kept."""

    def __init__(self, url: str, queue: str, jobs: int, poll: float) -> None:
        super().__init__(url, queue)
        self._jobs, self._poll = jobs, poll

    async def open(self) -> None:
        """Connect."""
        self._redis = await create_pool(RedisSettings.from_dsn(self.url), default_queue_name=self.queue)

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        await self._redis.enqueue_job("noop", number)

    def work(self) -> None:
        """Run one worker."""
        uvloop.run(self._work())

    async def _work(self) -> None:
        worker = Worker(
            functions=[noop],
            queue_name=self.queue,
            redis_settings=RedisSettings.from_dsn(self.url),
            max_jobs=self._jobs,
            poll_delay=self._poll,
            keep_result=0,
        )
        await worker.async_run()
