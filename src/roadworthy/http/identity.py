"""Who is asking for what: the request's id and its trace, made or kept, and put into every log line.

A request id of the caller's is kept if it is printable, short and free of anything that could break a line or a header.
A traceparent is kept if it is valid by W3C Trace Context, level 1; else a trace of our own is begun. The request's
headers stay as they came, so that whatever traces inside the application decides by itself what to sample.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from roadworthy.http.asgi import ASGIApp, Layer, Receive, Scope, Send
from roadworthy.http.exchange import Exchange
from roadworthy.http.route import RouteTemplate, route_template
from roadworthy.http.tracing import begun, end
from roadworthy.telemetry.logging import CONTEXT
from roadworthy.telemetry.tracing import PASSED, SPAN, Tracing, is_sampled

if TYPE_CHECKING:
    from roadworthy.service import Service

REQUEST_ID = "roadworthy.request_id"
TRACEPARENT = "roadworthy.traceparent"
TRACESTATE = "roadworthy.tracestate"
"""Where the application finds them in its ASGI scope, as text."""

_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._=:;@+/-]{0,127}")
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def sane_request_id(value: bytes) -> str | None:
    """Return a caller's request id as text, None if it is not to be repeated in logs and headers."""
    return value.decode("ascii") if _SANE_ID.fullmatch(value) else None


def trace_of(traceparent: bytes) -> str | None:
    """Return the trace id of a traceparent, None if it is not valid."""
    match = _TRACEPARENT.fullmatch(traceparent)
    # Only a version that is not out yet may carry more than four fields.
    if match is None or (match[3] and match[1] == b"00"):
        return None
    return match[2].decode("ascii")


class Identity:
    """The layer that knows each request's ids."""

    def __init__(
        self,
        app: Layer,
        random_bytes: Callable[[int], bytes] = random.randbytes,
        service: Service | None = None,
        route: RouteTemplate = route_template,
    ) -> None:
        """Identify the requests that reach `app`; `random_bytes` makes ids, which are unique but no secret.

        `service` says whether they are traced, `route` names a dispatched request's route.
        """
        self._app = app
        self._random_bytes = random_bytes
        self._service = service
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        """Answer one request."""
        headers = dict(scope["headers"])
        exchange.fields = headers
        service = self._service
        tracing = None if service is None or not service.bound else service.binding("tracing").tracing
        trusted = tracing is None or tracing.spec.trust_callers
        ids = self._identified(scope, headers, trusted)
        token = CONTEXT.set(ids)
        exchange.headers.append((b"x-request-id", scope[REQUEST_ID].encode()))
        if headers.get(b"x-forwarded-proto") == b"https":
            exchange.https = True
        try:
            if tracing is None:
                await self._app(scope, receive, exchange)
            else:
                await self._traced(tracing, ids, scope, receive, exchange)
        finally:
            CONTEXT.reset(token)

    async def _traced(
        self, tracing: Tracing, ids: Mapping[str, str], scope: Scope, receive: Receive, exchange: Exchange
    ) -> None:
        traceparent = scope[TRACEPARENT]
        # A trace that begins here has a new id, so this is the caller's own or none.
        parent = traceparent if exchange.fields.get(b"traceparent") == traceparent.encode("ascii") else None
        span = begun(tracing, scope, ids["trace_id"], ids["request_id"], parent)
        if span is None:
            if parent is None or not is_sampled(parent):
                await self._app(scope, receive, exchange)
                return
            passed = PASSED.set(parent)
            try:
                await self._app(scope, receive, exchange)
            finally:
                PASSED.reset(passed)
            return
        span.trace.state = scope.get(TRACESTATE)
        scope[TRACEPARENT] = span.traceparent
        current = SPAN.set(span)
        try:
            await self._app(scope, receive, exchange)
        finally:
            end(span, exchange, self._route)
            SPAN.reset(current)

    async def websocket(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a WebSocket to `app`, its ids in every log line."""
        token = CONTEXT.set(self._identified(scope, dict(scope["headers"])))
        try:
            await app(scope, receive, send)
        finally:
            CONTEXT.reset(token)

    def _identified(self, scope: Scope, headers: dict[bytes, bytes], trusted: bool = True) -> Mapping[str, str]:
        given = headers.get(b"x-request-id")
        request_id = None if given is None else sane_request_id(given)
        parent = headers.get(b"traceparent") if trusted else None
        trace_id = None if parent is None else trace_of(parent)
        if trace_id is None:
            fresh = self._random_bytes(40).hex()
            trace_id = fresh[:32]
            scope[TRACEPARENT] = f"00-{trace_id}-{fresh[32:48]}-00"
            request_id = request_id or fresh[48:]
        else:
            scope[TRACEPARENT] = headers[b"traceparent"].decode("ascii")
            if b"tracestate" in headers:
                scope[TRACESTATE] = headers[b"tracestate"].decode("latin-1")
            request_id = request_id or self._random_bytes(16).hex()
        scope[REQUEST_ID] = request_id
        return {"request_id": request_id, "trace_id": trace_id}
