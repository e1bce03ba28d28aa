"""Draining: readiness fails first, streams of events end, and what else is under way may finish.

While it drains, a process still answers whatever reaches it, closing each HTTP/1 connection: a load balancer takes some
seconds to notice that it is unready. A stream of server-sent events has no end to wait for, and its clients come back
by themselves: its application is cancelled, and the response ended as a whole one.
"""

from __future__ import annotations

import asyncio
import contextlib

from roadworthy.http.asgi import Layer, Message, Receive, Scope
from roadworthy.http.exchange import Exchange

_LAST: Message = {"type": "http.response.body", "body": b""}


class Drain:
    """The end of a process's service, which the runtime starts; what is in flight until then."""

    def __init__(self) -> None:
        """Begin with nothing in flight, not draining."""
        self.started = False
        self.in_flight = 0
        self._streams: dict[Exchange, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Fail readiness from now on, close each connection with its next response, and end the event streams."""
        self.started = True
        for task in self._streams.values():
            task.cancel()

    def begin_stream(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        """End this stream of events, which `task` writes, with the service."""
        self._streams[exchange] = task
        if self.started:
            task.cancel()

    def end_stream(self, exchange: Exchange) -> bool:
        """Return whether this was a stream of events that the drain has ended."""
        return self._streams.pop(exchange, None) is not None and self.started


class Draining:
    """The layer that counts requests in and out of a `Drain`, and ends event streams with it."""

    def __init__(self, app: Layer, drain: Drain) -> None:
        """Count the requests that reach `app`."""
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        """Answer one request."""
        drain = self._drain
        drain.in_flight += 1
        task = exchange.task = asyncio.current_task()
        try:
            await self._app(scope, receive, exchange)
        except asyncio.CancelledError:
            # Others cancel, too; theirs stands.
            if not drain.end_stream(exchange) or (task is not None and task.uncancel()):
                raise
            with contextlib.suppress(OSError):
                await exchange(_LAST)
        finally:
            drain.in_flight -= 1
            drain.end_stream(exchange)
