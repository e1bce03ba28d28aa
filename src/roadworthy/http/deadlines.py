"""Deadlines of requests: whoever has not begun to answer in time is cancelled.

Requests of one deadline expire in the order in which they came, so one timer watches the oldest of them. A timer each
would cost more than the rest of the layer.
"""

from __future__ import annotations

import asyncio

from roadworthy.http.exchange import Exchange


class Deadlines:
    """The requests under way, by how long they may take."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lines: dict[float, _Line] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.expired: set[Exchange] = set()

    def begin(self, exchange: Exchange, seconds: float) -> None:
        """Watch a request from now on."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._lines = loop, {}
        line = self._lines.get(seconds)
        if line is None:
            line = self._lines[seconds] = _Line(loop, seconds, self.expired)
        line.begin(exchange)

    def end(self, exchange: Exchange, seconds: float) -> bool:
        """Watch it no longer; return whether its time was over, and it was cancelled."""
        line = self._lines.get(seconds)
        if line is not None:
            line.waiting.pop(exchange, None)
        if exchange in self.expired:
            self.expired.discard(exchange)
            return True
        return False


class _Line:
    """Those that have the same time, the oldest first."""

    __slots__ = ("_expired", "_loop", "_seconds", "_timed", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, expired: set[Exchange]) -> None:
        self.waiting: dict[Exchange, float] = {}
        self._loop = loop
        self._seconds = seconds
        self._expired = expired
        self._timed = False

    def begin(self, exchange: Exchange) -> None:
        self.waiting[exchange] = self._loop.time() + self._seconds
        if not self._timed:
            self._timed = True
            self._loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        while self.waiting:
            exchange, end = next(iter(self.waiting.items()))
            if end > now:
                self._loop.call_at(end, self._look)
                return
            del self.waiting[exchange]
            # What has begun is under way: a download, or a stream of events.
            if exchange.status is None and exchange.task is not None:
                self._expired.add(exchange)
                exchange.task.cancel()
        self._timed = False
