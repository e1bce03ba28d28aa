"""Holds requests to the limits that are declared for routes, before anything else is done for them.

A request that several limits are for has to be admitted by all of them. They are asked in the order of their
declaration until one refuses, which is then the strictest; what those before it took is not given back.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING

from roadworthy.errors import NotRunning
from roadworthy.http.asgi import ASGIApp, Layer, Receive, Scope, Send
from roadworthy.http.edging import EDGE
from roadworthy.http.exchange import Exchange
from roadworthy.http.limited_routes import Applied, Applying, LimitedRoutes
from roadworthy.http.problems import Problem, ProblemResponse, answer_handshake, exceeded
from roadworthy.http.route import CACHED_ROUTE
from roadworthy.limits.decision import Decision
from roadworthy.limits.headers import POLICY, RATELIMIT, SPREAD, legacy, policies, remaining, seconds_until
from roadworthy.limits.spec import LimitSpec

if TYPE_CHECKING:
    from roadworthy.service import Service

Decisions = list[tuple[Applied, Decision]]


class Limiting:
    """The layer that holds requests to limits, for a service that declares some for routes."""

    def __init__(
        self,
        app: Layer,
        service: Service,
        websocket: ASGIApp,
        random: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Stand before `app`, and before `websocket` for WebSockets, whose handshakes count as GETs.

        `random`, from 0 to 1, draws out the times after which clients come back; `clock` tells Unix time.
        """
        self._app = app
        self._service = service
        self._websocket = websocket
        self._random = random
        self._clock = clock
        self._routes: LimitedRoutes | None = None

    @cached_property
    def _specs(self) -> tuple[LimitSpec, ...]:
        return tuple(spec for spec in self._service.spec.limits if spec.routes)

    def __call__(self, scope: Scope, receive: Receive, exchange: Exchange) -> Awaitable[None]:
        """Answer one request."""
        if not self._specs:
            return self._app(scope, receive, exchange)
        applying = self._applying(scope)
        decisions: Decisions = []
        for place, plain in enumerate(applying.applied):
            one = plain if plain.of_key is None else plain.of_key(scope) or plain
            key = one.key(scope)
            if key is None:
                continue
            decision = one.limiter.quick(key, one.cost)
            if decision is None:
                return self._asking(applying, decisions, place, key, scope, receive, exchange)
            decisions.append((one, decision))
            if not decision.admitted:
                return self._refuse(applying, decisions, scope, receive, exchange)
        self._tell(applying, decisions, scope, exchange)
        return self._app(scope, receive, exchange)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket, whose handshake counts as a request."""
        if self._specs:
            for plain in self._applying(scope).applied:
                one = plain if plain.of_key is None else plain.of_key(scope) or plain
                key = one.key(scope)
                decision = None if key is None else await one.limiter.check(key, one.cost)
                if decision is not None and not decision.admitted:
                    await answer_handshake(self._problem([(one, decision)]), scope, receive, send)
                    return
        await self._websocket(scope, receive, send)

    def _applying(self, scope: Scope) -> Applying:
        routes = self._routes
        if routes is None or routes.closed:
            binding = self._service.binding("the rate limits")
            if binding.limits is None:
                raise NotRunning("the rate limits")
            routes = self._routes = LimitedRoutes(binding.limits, self._specs, binding.trusted_proxies)
        return routes.of(scope)

    async def _asking(
        self,
        applying: Applying,
        decisions: Decisions,
        place: int,
        known: str,
        scope: Scope,
        receive: Receive,
        exchange: Exchange,
    ) -> None:
        """Answer a request for which the shared store has to be asked, from the limit at `place` on, by its key."""
        for index, plain in enumerate(applying.applied[place:]):
            one = plain if plain.of_key is None else plain.of_key(scope) or plain
            key = known if index == 0 else one.key(scope)
            if key is None:
                continue
            decision = await one.limiter.check(key, one.cost)
            decisions.append((one, decision))
            if not decision.admitted:
                await self._refuse(applying, decisions, scope, receive, exchange)
                return
        self._tell(applying, decisions, scope, exchange)
        await self._app(scope, receive, exchange)

    def _tell(self, applying: Applying, decisions: Decisions, scope: Scope, exchange: Exchange) -> None:
        """Have the response tell what is left, unless it may be kept and shown to others, for whom that is not so."""
        if applying.policy is None or ((match := scope.get(EDGE)) is not None and match.rule.policy.is_shared):
            return
        drawn = self._random()
        if len(decisions) == 1:
            one, decision = decisions[0]
            if one.plain and decision.admitted:
                left = f"{one.item}{decision.remaining};t={ceil(decision.reset_after * (1 + SPREAD * drawn))}"
                exchange.headers += ((RATELIMIT, left.encode()), applying.policy)
                return
        items = []
        policy = applying.policy
        for one, decision in decisions:
            if one.told:
                if one.rated:
                    policy = (POLICY, policies([each.spec for each, _ in decisions if each.told]))
                seconds = seconds_until(decision, drawn)
                items.append(remaining(decision, seconds))
                if one.spec.legacy_headers:
                    exchange.headers += legacy(decision, seconds, self._clock())
        if items:
            exchange.headers.append((RATELIMIT, (items[0] if len(items) == 1 else ", ".join(items)).encode()))
            exchange.headers.append(policy)

    async def _refuse(
        self, applying: Applying, decisions: Decisions, scope: Scope, receive: Receive, exchange: Exchange
    ) -> None:
        if applying.path is not None:
            scope[CACHED_ROUTE] = applying.path
        await ProblemResponse(self._problem(decisions[-1:]))(scope, receive, exchange)

    def _problem(self, decisions: Decisions) -> Problem:
        one, decision = decisions[-1]
        now = self._clock() if one.spec.legacy_headers else None
        return exceeded(decision, self._random(), now)
