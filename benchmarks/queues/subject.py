"""What the benchmark asks of a queue. Only the standard library: this runs in the environment of each peer."""

from __future__ import annotations

from collections.abc import Sequence


class Subject:
    """A job queue with one job that marks its number, as a process that enqueues or as one that works.

    `url` is the PostgreSQL database or the Redis server; `queue` is the queue to enqueue into or to work on. A queue
    without a bulk interface or without transactions leaves those methods as they are.
    """

    def __init__(self, url: str, queue: str) -> None:
        self.url = url
        self.queue = queue

    async def install(self) -> None:
        """Prepare an empty database."""

    async def open(self) -> None:
        """Connect, to enqueue."""

    async def enqueue_one(self, number: int) -> None:
        """Add one job, on its own."""
        raise NotImplementedError

    async def enqueue_in_transaction(self, number: int) -> None:
        """Add one job in a transaction of the caller's, begin and commit included."""
        raise NotImplementedError

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Add jobs with the bulk interface."""
        raise NotImplementedError

    def work(self) -> None:
        """Run one worker until the process is told to end."""
        raise NotImplementedError

    @classmethod
    def offers(cls, method: str) -> bool:
        """Whether this queue has `method`."""
        return getattr(cls, method) is not getattr(Subject, method)
