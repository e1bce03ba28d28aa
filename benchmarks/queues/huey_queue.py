"""Huey on Redis, which blocks for jobs instead of polling, and keeps no results."""

from __future__ import annotations

import logging

from huey import RedisHuey

from .marks import mark
from .subject import Subject


class Queue(Subject):
    """One consumer of `threads` worker threads."""

    def __init__(self, url: str, queue: str, threads: int) -> None:
        super().__init__(url, queue)
        logging.getLogger("huey").setLevel(logging.WARNING)
        self._threads = threads
        self._huey = RedisHuey(queue, url=url, results=False, blocking=True)
        self._task = self._huey.task(name="noop")(mark)

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        self._task(number)

    def work(self) -> None:
        """Run the consumer."""
        self._huey.create_consumer(workers=self._threads, worker_type="thread", periodic=False).run()
