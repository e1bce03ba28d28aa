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
        self._lines: dict[float, Line] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def line(self, seconds: float) -> Line:
        """Return the requests that may take so long, those of this event loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._lines = loop, {}
        line = self._lines.get(seconds)
        if line is None:
            line = self._lines[seconds] = Line(loop, seconds)
        return line


class Line:
    """Requests that have the same time, the oldest first."""

    __slots__ = ("_expired", "_loop", "_now", "_seconds", "_timed", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Begin with none."""
        self._loop = loop
        self._now = loop.time
        self._seconds = seconds
        self._timed = False
        self._waiting: dict[Exchange, float] = {}
        self._expired: set[Exchange] = set()

    def begin(self, exchange: Exchange) -> None:
        """Watch a request from now on."""
        self._waiting[exchange] = self._now() + self._seconds
        if not self._timed:
            self._timed = True
            self._loop.call_later(self._seconds, self._look)

    def end(self, exchange: Exchange) -> bool:
        """Watch it no longer; return whether its time was over, and it was cancelled."""
        if self._waiting.pop(exchange, None) is not None or exchange not in self._expired:
            return False
        self._expired.discard(exchange)
        return True

    def _look(self) -> None:
        now = self._now()
        while self._waiting:
            exchange, end = next(iter(self._waiting.items()))
            if end > now:
                self._loop.call_at(end, self._look)
                return
            del self._waiting[exchange]
            # What has begun is under way: a download, or a stream of events.
            if exchange.status is None and exchange.task is not None:
                self._expired.add(exchange)
                exchange.task.cancel()
        self._timed = False
