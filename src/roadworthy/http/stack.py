"""The whole stack around a service's application, outermost layer first.

Exchange    the response as all layers see it; adds headers to it             exchange.py, headers.py
Probes      answers /livez, /readyz, /startupz and /health, goes no further    probes.py
Identity    request id and trace, in every log line                           identity.py
Measuring   counts and times                                                  measuring.py, route.py
Draining    knows what is in flight, and ends event streams at a stop         draining.py
Guarding    refuses strangers' hosts, what is too large, what is late; CORS      guarding.py, cors.py
Shedding    turns away what cannot be answered in time                        shedding.py
Authenticating  knows whose API key a request shows, refuses those without    authenticating.py
Limiting    holds requests to rate limits                                      limiting.py, limited_routes.py
Caching     answers from the store what it can, where there is one            caching_layer.py, caching.py
Edging      says what browsers and CDNs may keep, answers 304                 edging.py
Problems    turns what escapes the application into problem details           problems.py, frameworks.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from roadworthy.bridge import BRIDGE, Bridge
from roadworthy.cache.caches import OpenCache
from roadworthy.edge.policy import Match
from roadworthy.edge.spec import RESPONSES
from roadworthy.edge.tiered import TieredResponses
from roadworthy.errors import NotRunning
from roadworthy.health.policy import HealthState
from roadworthy.health.report import Health
from roadworthy.http.asgi import ASGIApp, Receive, Scope, Send
from roadworthy.http.authenticating import Authenticating
from roadworthy.http.caching import HTTPCache
from roadworthy.http.caching_layer import CachingLayer
from roadworthy.http.checks import service_checks
from roadworthy.http.draining import Drain, Draining
from roadworthy.http.edging import EDGE, Edging, Untagging, matched
from roadworthy.http.exchange import Exchange
from roadworthy.http.frameworks import register_problems
from roadworthy.http.guarding import Guarding
from roadworthy.http.identity import Identity
from roadworthy.http.lifespan import Lifespan
from roadworthy.http.limiting import Limiting
from roadworthy.http.measuring import Measuring
from roadworthy.http.probes import PATHS, Probes
from roadworthy.http.problems import Problems
from roadworthy.http.route import RouteTemplate, route_template
from roadworthy.http.security_headers import SecureHeaders
from roadworthy.http.shedding import Shedding

if TYPE_CHECKING:
    from roadworthy.service import Service


def install(
    app: ASGIApp,
    service: Service,
    *,
    route: RouteTemplate = route_template,
    caching: Callable[[ASGIApp], HTTPCache] | None = None,
) -> Stack:
    """Return `app` inside the stack, registering problem details with it where it takes exception handlers.

    `route` names the route of a dispatched request; the default knows Starlette and FastAPI, and calls whatever it
    cannot trace to a declared route `__unmatched__`. `caching` makes the HTTP cache of what it is given; without it,
    the routes that are declared with `cached=True` are kept in a cache of the service's.
    """
    register_problems(app)
    return Stack(app, service, route, caching)


class Stack:
    """An ASGI application: the service's own, with everything around it.

    `drain` ends its service: the runtime starts it.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        route: RouteTemplate = route_template,
        caching: Callable[[ASGIApp], HTTPCache] | None = None,
    ) -> None:
        """Wrap `app`; see `install`."""
        self.app = app
        self.service = service
        self.drain = Drain()
        self._bridge: Bridge | None = None
        self._lifespan = Lifespan(app, service, self._watched)
        self._problems = Problems(app, self._reported)
        self._edging = Edging(self._problems, service, route)
        self._route = route
        self._caching = None if caching is None else CachingLayer(self._edging, self.drain, caching)
        self._limiting = Limiting(self._inside, service, self._problems.websocket)
        self._authenticating = Authenticating(self._limiting, service, self._limiting.websocket)
        self._shedding = Shedding(self._authenticating, service, self._authenticating.websocket)
        self._guarding = Guarding(self._shedding, service, self._shedding.websocket)
        draining = Draining(self._guarding, self.drain)
        self._measuring = Measuring(draining, service, self.drain, route)
        self._identity = Identity(self._measuring, service=service, route=route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, WebSocket or lifespan."""
        kind = scope["type"]
        if self._bridge is None or self._bridge.loop is not asyncio.get_running_loop():
            self._bridge = Bridge(asyncio.get_running_loop())
        BRIDGE.set(self._bridge)
        if kind == "http":
            exchange = Exchange(scope, send, self.drain, self._secure)
            if scope["path"] in PATHS:
                await self._probes(scope, receive, exchange)
            else:
                if self._edging.rules.has_routes:
                    matched(scope, self._edging.rules)
                await self._identity(scope, receive, exchange)
        elif kind == "lifespan":
            try:
                await self._lifespan(scope, receive, send)
            finally:
                if self._caching is not None:
                    await self._caching.cache.close()
        else:
            await self._identity.websocket(self._guarding.websocket, scope, receive, send)

    def _inside(self, scope: Scope, receive: Receive, exchange: Exchange) -> Awaitable[None]:
        """Have a request answered through the cache, where that may have it or has to forget something for it."""
        rules = self._edging.rules
        if self._caching is None:
            if not rules.cached:
                return self._edging(scope, receive, exchange)
            self._caching = CachingLayer(self._edging, self.drain, self._kept)
        if not rules.cached:
            return self._caching(scope, receive, exchange)
        match: Match | None = scope.get(EDGE)
        if scope["method"] in ("GET", "HEAD") and (match is None or not match.rule.spec.cached):
            return self._edging(scope, receive, exchange)
        if not rules.forms:
            exchange.shaping = Untagging(exchange.forward)
        return self._caching(scope, receive, exchange)

    def _kept(self, app: ASGIApp) -> HTTPCache:
        """Return the cache of the routes that are declared to be cached."""
        return HTTPCache(app, TieredResponses(self._opened), key=self._edging.key, route=self._route)

    def _opened(self) -> OpenCache:
        caches = self.service.binding("the HTTP cache").caches
        if caches is None:
            raise NotRunning("the HTTP cache")
        return caches.of(RESPONSES)

    def _reported(self, error: BaseException, method: str) -> None:
        reports = self.service.binding("error reports").error_reports if self.service.bound else None
        if reports is not None:
            reports.report(error, method=method)

    @property
    def draining(self) -> bool:
        """Whether the process is on its way out."""
        return self.drain.started

    @cached_property
    def health(self) -> Health:
        """The health of this process: ready while its service runs, its startup is over, and it does not drain."""
        service = self.service
        checks = service_checks(service.spec, lambda: service.binding("a health check"))
        return Health(self._state, checks, service=service.name, version=service.version)

    @cached_property
    def _secure(self) -> SecureHeaders:
        return SecureHeaders.of(self.service.spec.browsers)

    @cached_property
    def _probes(self) -> Probes:
        return Probes(self.health)

    def _watched(self) -> AbstractAsyncContextManager[None]:
        self._measuring.bind()
        return self.health.running(self.service.binding("the health of the process").metrics)

    def state_with(self, process: Callable[[], HealthState]) -> Callable[[], HealthState]:
        """Return the state of a process that knows more of itself than its application does."""

        def state() -> HealthState:
            own, known = self._state(), process()
            return replace(own, started=own.started and known.started, draining=own.draining or known.draining)

        return state

    def _state(self) -> HealthState:
        gate = self._shedding.gate
        started = self.service.bound and not self._lifespan.starting
        return HealthState(started, self.drain.started, gate is not None and gate.overloaded)
