"""awa: a Rust core that runs Python handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import awa
import uvloop

from .marks import mark
from .subject import Subject


@dataclass
class Noop:
    """The job's arguments."""

    number: int


class Queue(Subject):
    """One worker that runs `workers` jobs at once; claims of 512 are its default."""

    def __init__(self, url: str, queue: str, workers: int) -> None:
        # It takes no URL without a host, though one with a socket's directory.
        super().__init__(url.replace("@/", "@localhost/"), queue)
        self._workers = workers

    async def install(self) -> None:
        """Apply the migrations, and begin with the storage that a first worker would change to."""
        client = awa.AsyncClient(self.url)
        await client.migrate()
        await client.install_queue_storage()
        await client.close()

    async def open(self) -> None:
        """Connect."""
        self._client = awa.AsyncClient(self.url)

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        await self._client.insert(Noop(number), queue=self.queue)

    async def enqueue_in_transaction(self, number: int) -> None:
        """Add one job in a transaction of its client."""
        async with await self._client.transaction() as transaction:
            await transaction.insert(Noop(number), queue=self.queue)

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Add jobs by COPY, straight into the queue's storage."""
        await self._client.enqueue_many_copy([Noop(number) for number in numbers], queue=self.queue)

    def work(self) -> None:
        """Run one worker."""
        uvloop.run(self._work())

    async def _work(self) -> None:
        client = awa.AsyncClient(self.url)

        @client.task(Noop, queue=self.queue)
        async def noop(job: awa.Job[Noop]) -> None:
            mark(job.args.number)

        await client.start([(self.queue, self._workers)])
        await asyncio.Event().wait()
