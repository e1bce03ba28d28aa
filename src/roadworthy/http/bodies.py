"""Bodies of requests held to their bounds, as the application reads them.

What is too long is not read on: the application gets a Problem, and unless it answers with the same status, in a form
of its own, the client gets the refusal. A body that nobody reads is nobody's burden.
"""

from __future__ import annotations

from roadworthy.http.asgi import Message, Receive
from roadworthy.http.exchange import Exchange
from roadworthy.http.problems import Problem
from roadworthy.security.nesting import Nesting, TooDeep


class BoundedBody:
    """The `receive` of a request with a body. `complete` says that all of it was read."""

    __slots__ = ("_exchange", "_length", "_most", "_nesting", "_receive", "_received", "complete")

    def __init__(self, receive: Receive, exchange: Exchange, most: int, depth: int | None) -> None:
        """Let through `most` bytes and, where `depth` is given, JSON that is nested so many levels deep."""
        self._receive = receive
        self._exchange = exchange
        self._most = most
        self._nesting = None if depth is None else Nesting(depth)
        self._received = 0
        length = exchange.fields.get(b"content-length", b"0")
        self._length = int(length[:20]) if length.isdigit() else 0
        self.complete = False

    async def __call__(self) -> Message:
        """Return the next message. Raises Problem 413 for a body that is too long, 422 for one too deeply nested."""
        if self._length > self._most:
            raise self._refused(self._too_long())
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        part: bytes = message.get("body", b"")
        last = not message.get("more_body", False)
        self._received += len(part)
        if self._received > self._most:
            raise self._refused(self._too_long())
        if self._nesting is not None:
            try:
                self._nesting.feed(part, last=last)
            except TooDeep as error:
                raise self._refused(Problem(422, detail=f"{str(error)[0].upper()}{str(error)[1:]}.")) from None
        self.complete = self.complete or last
        return message

    def _too_long(self) -> Problem:
        detail = f"The body is longer than {self._most:,} bytes."
        return Problem(413, detail=detail, headers={"connection": "close"})

    def _refused(self, problem: Problem) -> Problem:
        self._exchange.refused = problem
        return problem
