"""Bounds what a request may send: nothing here is uploaded, so a long body is a mistake or an attack."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_BODY = 256 * 1024


class BoundedBodies:
    """Breaks off reading a body once it is longer than `largest` bytes, with HTTPException 413."""

    def __init__(self, app: ASGIApp, largest: int) -> None:
        """Bound the bodies that `app` reads."""
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._largest:
                raise HTTPException(413, f"The request is too large; shorten it to {self._largest // 1024} kB.")
            return message

        await self._app(scope, bounded if scope["type"] == "http" else receive, send)
