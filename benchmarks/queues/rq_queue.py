"""RQ with the worker that forks no process for each job, its fastest."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import rq
from redis import Redis

from .marks import mark
from .subject import Subject


class Queue(Subject):
    """One SimpleWorker. Results are not kept."""

    def __init__(self, url: str, queue: str) -> None:
        super().__init__(url, queue)
        logging.getLogger("rq.worker").setLevel(logging.WARNING)
        self._rq = rq.Queue(queue, connection=Redis.from_url(url))

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        self._rq.enqueue(mark, number, result_ttl=0)

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Add jobs in one pipeline."""
        self._rq.enqueue_many([rq.Queue.prepare_data(mark, (number,), result_ttl=0) for number in numbers])

    def work(self) -> None:
        """Run the worker."""
        rq.SimpleWorker([self._rq], connection=self._rq.connection, log_job_description=False).work()
