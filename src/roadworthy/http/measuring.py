"""The HTTP metrics: every request counted and timed to the last byte of its response, by bounded labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from roadworthy.cost.source import CURRENT_ROUTE
from roadworthy.http.asgi import Layer, Receive, Scope
from roadworthy.http.draining import Drain
from roadworthy.http.exchange import Exchange
from roadworthy.http.route import RouteTemplate, route_template
from roadworthy.telemetry.metrics import (
    HTTP_REQUEST_DURATION,
    HTTP_REQUESTS,
    HTTP_REQUESTS_IN_PROGRESS,
    METHODS,
    OTHER_METHOD,
    UNMATCHED_ROUTE,
)
from roadworthy.telemetry.registry import MetricRegistry, Tally
from roadworthy.telemetry.tracing import current_trace

if TYPE_CHECKING:
    from roadworthy.service import Service

CLIENT_CLOSED = 499
"""The status under which a request counts whose client went away before its response was whole."""

_KNOWN_METHODS = {method: method for method in METHODS}
_MOST_CACHED = 5000


class Measuring:
    """The layer that counts and times. A service that is not running has nowhere to count, and is not measured."""

    def __init__(
        self,
        app: Layer,
        service: Service,
        drain: Drain,
        route: RouteTemplate = route_template,
        clock: Callable[[], float] = time.perf_counter,
        trace: Callable[[], str | None] = current_trace,
    ) -> None:
        """Measure `app`. `route` names a dispatched request's route; `clock` counts in seconds.

        `trace` tells the recorded trace that a request is part of, which then is an example of its duration.
        """
        self._app = app
        self._service = service
        self._drain = drain
        self._route = route
        self._clock = clock
        self._trace = trace
        self._registry: MetricRegistry | None = None
        self._metered = False
        self._tallies: dict[tuple[str, str, int], Tally] = {}
        self._places: dict[tuple[int, int], Tally] = {}

    def bind(self) -> None:
        """Count where the service counts now, with the series of its objectives from the start."""
        if self._service.bound and (registry := self._service.binding("HTTP metrics").metrics) is not self._registry:
            self._use(registry)

    async def __call__(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        """Answer one request."""
        service = self._service
        if service.bound and service.binding("the HTTP metrics").metrics is not self._registry:
            self.bind()
        exchange.on_end = self._measured
        exchange.began = self._clock()
        if self._metered:
            # Known once the request is dispatched, which it is when the application meters something.
            CURRENT_ROUTE.set(lambda: f"{_KNOWN_METHODS.get(scope['method'], OTHER_METHOD)} {self._route(scope, None)}")
        try:
            await self._app(scope, receive, exchange)
        finally:
            if exchange.on_end is not None:
                exchange.end()

    def _measured(self, exchange: Exchange) -> None:
        duration = self._clock() - exchange.began
        registry = self._registry
        if registry is None:
            return
        status = _status(exchange)
        scope = exchange.scope
        key = (_KNOWN_METHODS.get(scope["method"], OTHER_METHOD), self._route(scope, status), status)
        (self._tallies.get(key) or self._tally(registry, key)).observe(duration, self._trace())

    def _use(self, registry: MetricRegistry) -> None:
        self._registry = registry
        self._tallies = {}
        self._places = {}
        self._metered = bool(self._service.spec.meters)
        for objective in self._service.spec.objectives:
            # Without its series from the start, an objective looks like one that is not measured.
            if objective.about_requests:
                method, route = objective.route_parts or ("GET", UNMATCHED_ROUTE)
                self._tally(registry, (method, route, 404 if objective.route is None else 200))
        registry.bound(HTTP_REQUESTS_IN_PROGRESS).track(lambda: self._drain.in_flight)

    def _tally(self, registry: MetricRegistry, key: tuple[str, str, int]) -> Tally:
        method, route, status = key
        requests = registry.bound(HTTP_REQUESTS)
        # A counter born at 1 shows no increase: the first error of a route would be missed.
        requests.labels(method, route, "500")
        counted = requests.labels(method, route, str(status))
        timed = registry.bound(HTTP_REQUEST_DURATION).labels(method, route)
        place = (id(counted), id(timed))
        tally = self._places.get(place)
        if tally is None:
            tally = self._places[place] = Tally(timed, counted)
        if len(self._tallies) < _MOST_CACHED:
            self._tallies[key] = tally
        return tally


def _status(exchange: Exchange) -> int:
    """Return the status to count: a response that broke off is no success, whatever it began with."""
    if exchange.complete and exchange.status is not None:
        return exchange.status
    return 500 if exchange.failed else CLIENT_CLOSED
