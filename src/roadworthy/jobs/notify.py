"""Wake-ups, held back so that a busy queue sends few: the first at once, then for a tenth of the time at most.

How long one took tells how much the database has to do: an idle one has the next wake-up sent after a millisecond or
two, a busy one after the longest interval.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from roadworthy.errors import DatabaseUnavailable

_IDLE_PER_BUSY = 9.0
_SHORTEST_INTERVAL = 0.001


class Notifier:
    """Sends the names of queues that may have become ready. What comes during an interval is sent at its end."""

    def __init__(
        self,
        send: Callable[[list[str]], Awaitable[None]],
        *,
        interval: timedelta,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`send` tells every listener; between two calls of it pass nine times as long as it took.

        That is 1 ms at least and `interval` at most. `clock` counts seconds, `sleep` waits for some.
        """
        self._send = send
        self._longest = interval.total_seconds()
        self._clock = clock
        self._sleep = sleep
        self._pending: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None
        self.sending = False

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
            began = self._clock()
            await self._flush()
            rest = max((self._clock() - began) * _IDLE_PER_BUSY, _SHORTEST_INTERVAL)
            await self._sleep(min(rest, self._longest))

    async def _flush(self) -> None:
        queues, self._pending = list(self._pending), {}
        if not queues:
            return
        self.sending = True
        # Should it fail, workers find the jobs when they next poll.
        with contextlib.suppress(DatabaseUnavailable):
            try:
                await self._send(queues)
            finally:
                self.sending = False
