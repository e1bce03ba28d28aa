"""Looks at what a service stands on, in the background of one process: PostgreSQL, Redis, the machine.

Never in a scrape: one that waits for a database that hangs would be late with everything else, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from roadworthy.binding import Binding
from roadworthy.database.observer import DatabaseObserver
from roadworthy.health.machine import MachineObserver
from roadworthy.http.checks import uses_redis
from roadworthy.service import ServiceSpec
from roadworthy.telemetry.logging import get_logger

_log = get_logger(__name__)

EVERY = timedelta(seconds=15)
_CLOSING = 2.0

Look = Callable[[], Awaitable[None]]


@asynccontextmanager
async def observing(
    spec: ServiceSpec, binding: Binding, dsn: str | None, *, every: timedelta = EVERY
) -> AsyncIterator[None]:
    """Look `every` so often within an `async with`; the first look begins at once, and nothing waits for it.

    Of PostgreSQL and Redis, one process tells what all would see: without `dsn`, only the machine is looked at.
    """
    async with AsyncExitStack() as stack:
        looks: list[tuple[str, Look]] = [("the machine", MachineObserver(binding.metrics, binding.data_directory).look)]
        if dsn is not None and (spec.database is not None or spec.queues):
            database = spec.database.name if spec.database is not None else "main"
            observer = DatabaseObserver(dsn, database, binding.metrics, name=f"{spec.name} observer")
            stack.push_async_callback(observer.close)
            looks.append(("PostgreSQL", observer.look))
        if dsn is not None and binding.redis_url is not None and uses_redis(spec):
            # An extra, which who sets no REDIS_URL need not have installed.
            from roadworthy.redis.address import Address
            from roadworthy.redis.observer import RedisObserver

            redis = RedisObserver(Address.parse(binding.redis_url), binding.metrics, name=f"{spec.name} observer")
            looks.append(("Redis", redis.look))
        tasks = [asyncio.create_task(_forever(what, look, every), name=f"look at {what}") for what, look in looks]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_CLOSING)


async def _forever(what: str, look: Look, every: timedelta) -> None:
    while True:
        try:
            await look()
        except Exception:
            _log.exception("a look failed; they go on", at=what)
        await asyncio.sleep(every.total_seconds())
