"""The shapes of ASGI, as the specification names them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roadworthy.http.exchange import Exchange

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Layer = Callable[[Scope, Receive, "Exchange"], Awaitable[None]]
"""An ASGI application whose `send` is known to be the stack's own."""
