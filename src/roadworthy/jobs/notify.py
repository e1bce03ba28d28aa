"""Wake-ups, held back so that a busy queue sends few: at once for the first, then at most one per interval."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from roadworthy.errors import DatabaseUnavailable


class Notifier:
    """Sends the names of queues that may have become ready. What comes during an interval is sent at its end."""

    def __init__(self, send: Callable[[list[str]], Awaitable[None]], *, interval: timedelta) -> None:
        """`send` tells every listener; the least time between two calls of it is `interval`."""
        self._send = send
        self._interval = interval.total_seconds()
        self._pending: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None

    def wake(self, queues: Iterable[str]) -> None:
        """Have workers of `queues` look for jobs. Returns at once."""
        self._pending.update(dict.fromkeys(queues))
        if self._pending and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Send what is still held back."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=1)
        await self._flush()

    async def _run(self) -> None:
        while self._pending:
            await self._flush()
            await asyncio.sleep(self._interval)

    async def _flush(self) -> None:
        queues, self._pending = list(self._pending), {}
        if not queues:
            return
        try:
            await self._send(queues)
        except DatabaseUnavailable:
            # Workers find the jobs when they next poll.
            return
