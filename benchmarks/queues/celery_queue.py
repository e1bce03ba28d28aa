"""Celery on Redis, tuned for short tasks as its guide advises: large prefetch, no results, no rate limits."""

from __future__ import annotations

from celery import Celery

from .marks import mark
from .subject import Subject


class Queue(Subject):
    """One worker of `slots` in the given pool."""

    def __init__(self, url: str, queue: str, pool: str, slots: int) -> None:
        super().__init__(url, queue)
        self._pool, self._slots = pool, slots
        app = self._app = Celery("bench", broker=url)
        app.conf.update(
            task_ignore_result=True,
            worker_prefetch_multiplier=100,
            worker_disable_rate_limits=True,
            worker_hijack_root_logger=False,
            task_default_queue=queue,
        )
        self._task = app.task(mark, name="noop")

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        self._task.delay(number)

    def work(self) -> None:
        """Run the worker."""
        options = [f"--pool={self._pool}", f"--concurrency={self._slots}", f"--queues={self.queue}"]
        quiet = ["--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        self._app.worker_main(["worker", *options, *quiet])
