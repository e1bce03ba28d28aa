"""Dramatiq on Redis, its worker run in this process as its command line runs it in each of its own."""

from __future__ import annotations

import signal

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from .marks import mark
from .subject import Subject


class Queue(Subject):
    """One worker of `threads` threads, with the default middleware."""

    def __init__(self, url: str, queue: str, threads: int) -> None:
        super().__init__(url, queue)
        self._threads = threads
        self._broker = RedisBroker(url=url)
        dramatiq.set_broker(self._broker)
        self._task = dramatiq.actor(mark, actor_name="noop", queue_name=queue)

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        self._task.send(number)

    def work(self) -> None:
        """Run the worker."""
        worker = dramatiq.Worker(self._broker, worker_threads=self._threads)
        worker.start()
        signal.pause()
