"""Procrastinate on its psycopg connector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import procrastinate

from .subject import background


class ProcrastinateQueue:
    """One worker with a concurrency of 20; Procrastinate fetches and finishes jobs one by one."""

    @asynccontextmanager
    async def opened(self, dsn: str, ran: Callable[[], None]) -> AsyncIterator[ProcrastinateQueue]:
        """Apply the schema."""
        app = self._app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn))

        @app.task(name="noop")
        async def noop(number: int) -> None:
            ran()

        self._task = noop
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            yield self

    async def enqueue_one(self) -> None:
        """Add one job."""
        await self._task.defer_async(number=1)

    async def enqueue_many(self, count: int) -> None:
        """Add jobs in one statement."""
        await self._task.batch_defer_async(*({"number": 1} for _ in range(count)))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run one worker."""
        running = self._app.run_worker_async(concurrency=20, install_signal_handlers=False, delete_jobs="always")
        async with background(asyncio.create_task(running)):
            yield
