"""Procrastinate on its psycopg connector, with psycopg's compiled part."""

from __future__ import annotations

from collections.abc import Sequence

import procrastinate
import uvloop

from .marks import mark
from .subject import Subject


class Queue(Subject):
    """One worker; Procrastinate fetches and finishes jobs one by one. Finished jobs are deleted."""

    def __init__(self, url: str, queue: str, concurrency: int) -> None:
        super().__init__(url, queue)
        self._concurrency = concurrency
        self._app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

        @self._app.task(name="noop", queue=queue)
        async def noop(number: int) -> None:
            mark(number)

        self._task = noop

    async def install(self) -> None:
        """Apply the schema."""
        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=self.url))
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    async def open(self) -> None:
        """Connect."""
        await self._app.open_async()

    async def enqueue_one(self, number: int) -> None:
        """Add one job."""
        await self._task.defer_async(number=number)

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Add jobs in one statement."""
        await self._task.batch_defer_async(*({"number": number} for number in numbers))

    def work(self) -> None:
        """Run one worker."""
        uvloop.run(self._work())

    async def _work(self) -> None:
        async with self._app.open_async():
            await self._app.run_worker_async(
                queues=[self.queue], concurrency=self._concurrency, delete_jobs="always", install_signal_handlers=False
            )
