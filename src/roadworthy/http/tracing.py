"""The outermost span of a request: whether there is one, and what it tells."""

from __future__ import annotations

from roadworthy.http.asgi import Scope
from roadworthy.http.exchange import Exchange
from roadworthy.http.route import RouteTemplate
from roadworthy.telemetry.metrics import METHODS, OTHER_METHOD, UNMATCHED_ROUTE
from roadworthy.telemetry.tracing import Span, Tracing, is_sampled

_SERVER_FAULT = 500
_CLIENT_CLOSED = 499
_SPAN_ID = slice(36, 52)


def begun(tracing: Tracing, scope: Scope, trace_id: str, request_id: str, parent: str | None) -> Span | None:
    """Begin the span of a request, None where its trace is not recorded.

    `parent` is the caller's `traceparent`, whose word counts. The path is left out: it may hold what is nobody's
    business, which a route does not.
    """
    if not (tracing.samples(trace_id) if parent is None else tracing.records and is_sampled(parent)):
        return None
    method = scope["method"]
    return tracing.root(
        method if method in METHODS else OTHER_METHOD,
        "server",
        trace_id,
        parent=None if parent is None else parent[_SPAN_ID],
        attributes={
            "http.request.method": method if method in METHODS else OTHER_METHOD,
            "url.scheme": scope.get("scheme", "http"),
            "roadworthy.request_id": request_id,
        },
    )


def end(span: Span, exchange: Exchange, route: RouteTemplate) -> None:
    """End the span of a request that was answered, or broke off."""
    whole = exchange.complete and exchange.status is not None
    status = exchange.status if whole else _SERVER_FAULT if exchange.failed else _CLIENT_CLOSED
    status = _SERVER_FAULT if status is None else status
    template = route(exchange.scope, status)
    if template != UNMATCHED_ROUTE:
        span.attributes["http.route"] = template
        span.name = f"{span.name} {template}"
    span.attributes["http.response.status_code"] = status
    span.end(str(status) if status >= _SERVER_FAULT else None)
