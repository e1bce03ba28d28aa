"""The HTTP cache as a layer of the stack: inside of what counts requests, outside of what says what may be kept."""

from __future__ import annotations

from collections.abc import Callable

from roadworthy.http.asgi import ASGIApp, Layer, Receive, Scope, Send
from roadworthy.http.caching import REFRESH, HTTPCache
from roadworthy.http.draining import Drain
from roadworthy.http.exchange import Exchange

_EXCHANGE = "roadworthy.exchange"


class CachingLayer:
    """The layer that answers from the store what it can."""

    def __init__(self, app: Layer, drain: Drain, cached: Callable[[ASGIApp], HTTPCache]) -> None:
        """Go around `app`. `cached` makes the cache of what it is given."""
        self._app = app
        self._drain = drain
        self.cache = cached(self._behind)

    async def __call__(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        """Answer one request."""
        scope[_EXCHANGE] = exchange
        try:
            await self.cache(scope, receive, exchange.shaping or exchange.forward)
        finally:
            # They have each other: only the collector would find them, and requests would wait for it.
            del scope[_EXCHANGE]
            exchange.shaping = None

    async def _behind(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the layers inside answer to the cache, which passes on to the exchange what the client is to get."""
        exchange: Exchange = Exchange(scope, send, self._drain) if REFRESH in scope else scope[_EXCHANGE]
        before = exchange.shaping
        exchange.shaping = send
        try:
            await self._app(scope, receive, exchange)
        finally:
            exchange.shaping = before
