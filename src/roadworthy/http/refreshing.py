"""What the cache fetches in the background, while stale responses are used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from roadworthy.telemetry.logging import get_logger

_log = get_logger(__name__)

_AGAIN = 1.0
_MOST_REMEMBERED = 4096


class Refreshes:
    """At most one refresh a key at a time, and one a second where it fails."""

    def __init__(self, clock: Callable[[], float], timeout: float) -> None:
        """Give each refresh `timeout` seconds; `clock` counts in seconds."""
        self._clock = clock
        self._timeout = timeout
        self._due: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, key: str, path: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do `work` in the background, unless that is under way for the key or has just failed."""
        now = self._clock()
        if now < self._due.get(key, 0.0):
            return
        if len(self._due) >= _MOST_REMEMBERED:
            self._due = {one: due for one, due in self._due.items() if due > now}
        self._due[key] = now + self._timeout
        task = asyncio.create_task(self._do(key, path, work), name=f"refresh {path}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait until all that is under way is done."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Cancel all that is under way."""
        for task in self._tasks:
            task.cancel()
        await self.settle()

    async def _do(self, key: str, path: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        began = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                await work()
        except Exception as error:
            _log.warning("a response could not be fetched anew", path=path, error=repr(error))
        finally:
            self._due[key] = began + _AGAIN
