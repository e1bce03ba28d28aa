"""taskiq with taskiq-redis, its receiver run in this process with the command line's defaults."""

from __future__ import annotations

import uvloop
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker, RedisStreamBroker

from .marks import mark
from .subject import Subject


class Queue(Subject):
    """One receiver, 100 tasks at once (the default): on a stream, which acknowledges, or on a list, which doesn't."""

    def __init__(self, url: str, queue: str, stream: bool) -> None:
        super().__init__(url, queue)
        # From the stream's beginning, for the backlog that waits before the worker starts.
        self._broker = (
            RedisStreamBroker(url, queue_name=queue, consumer_id="0")
            if stream
            else ListQueueBroker(url, queue_name=queue)
        )

        @self._broker.task(task_name="noop")
        async def noop(number: int) -> None:
            mark(number)

        self._task = noop

    async def open(self) -> None:
        """Connect."""
        await self._broker.startup()

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        await self._task.kiq(number)

    def work(self) -> None:
        """Run one receiver."""
        uvloop.run(run_receiver_task(self._broker, run_startup=True))
