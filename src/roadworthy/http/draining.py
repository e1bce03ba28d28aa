"""Draining: requests are counted, readiness fails first, and those in flight are waited for.

While it drains, a process still answers whatever reaches it, closing each HTTP/1 connection: a load balancer takes some
seconds to notice that it is unready.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from roadworthy.http.asgi import Layer, Receive, Scope
from roadworthy.http.exchange import Exchange


class Drain:
    """The end of a process's service: the runtime starts it, and waits until nothing is in flight."""

    def __init__(self) -> None:
        """Begin with nothing in flight, not draining."""
        self.started = False
        self.in_flight = 0
        self._idle = asyncio.Event()

    def start(self) -> None:
        """Fail readiness from now on, and close each connection with its next response."""
        self.started = True

    async def idle(self, timeout: timedelta) -> bool:
        """Wait until no request is in flight, at most `timeout`; return whether that came about."""
        if self.in_flight == 0:
            return True
        self._idle.clear()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def settled(self) -> None:
        """Note that the last request has left."""
        self._idle.set()


class Draining:
    """The layer that counts requests in and out of a `Drain`."""

    def __init__(self, app: Layer, drain: Drain) -> None:
        """Count the requests that reach `app`."""
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        """Answer one request."""
        drain = self._drain
        drain.in_flight += 1
        try:
            await self._app(scope, receive, exchange)
        finally:
            drain.in_flight -= 1
            if drain.in_flight == 0:
                drain.settled()
