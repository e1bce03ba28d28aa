"""Turns requests away while there are more than the service can answer: a 503 at once instead of an answer too late."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING

from roadworthy.http.asgi import ASGIApp, Layer, Receive, Scope, Send
from roadworthy.http.exchange import Exchange
from roadworthy.http.matching import Routes
from roadworthy.http.problems import Problem, ProblemResponse, answer_handshake
from roadworthy.resilience import shedding_metrics
from roadworthy.resilience.concurrency import AdaptiveLimit
from roadworthy.resilience.shedding import Gate, Priority
from roadworthy.resilience.shedding_spec import SheddingSpec

if TYPE_CHECKING:
    from roadworthy.service import Service

REDUCED_CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"

_READS = frozenset(("GET", "HEAD", "OPTIONS"))


class Shedding:
    """The layer that lets requests in through a `Gate`, for a service that declares it."""

    def __init__(
        self, app: Layer, service: Service, websocket: ASGIApp, random: Callable[[], float] = random.random
    ) -> None:
        """Stand before `app`, and before `websocket` for WebSockets.

        `random`, from 0 to 1, spreads the times after which clients come back.
        """
        self.gate: Gate | None = None
        self.refused = dict.fromkeys(Priority, 0)
        self._app = app
        self._service = service
        self._websocket = websocket
        self._random = random
        self._loop: asyncio.AbstractEventLoop | None = None

    @cached_property
    def _spec(self) -> SheddingSpec | None:
        return self._service.spec.shedding

    @cached_property
    def _routes(self) -> Routes[Priority]:
        spec = self._spec
        if spec is None:
            return Routes({})
        return Routes(dict.fromkeys(spec.critical, Priority.CRITICAL) | dict.fromkeys(spec.low, Priority.LOW))

    def __call__(self, scope: Scope, receive: Receive, exchange: Exchange) -> Awaitable[None]:
        """Answer one request."""
        if self._spec is None:
            return self._app(scope, receive, exchange)
        return self._guarded(self._spec, scope, receive, exchange)

    async def _guarded(self, spec: SheddingSpec, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        gate = self.gate
        if gate is None or self._loop is not asyncio.get_running_loop():
            gate = self._open(spec)
        if gate.enter():
            began = gate.now
        elif await self._let_in(gate, scope):
            began = perf_counter()
        else:
            await ProblemResponse(self._problem(spec))(scope, receive, exchange)
            return
        in_flight = gate.in_flight
        # A stream of events is under way for as long as its client likes.
        exchange.on_stream = gate.withdraw
        try:
            await self._app(scope, receive, exchange)
        finally:
            if exchange.on_stream is not None:
                status = exchange.status
                gate.leave(scope.get("endpoint"), in_flight, began, failed=status is None or status >= 500)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket. Its handshake is turned away as a request would be; once open, it is not counted."""
        spec, gate = self._spec, self.gate
        if spec is not None and gate is not None and gate.overloaded:
            priority = self._priority(scope)
            if priority != Priority.CRITICAL:
                self.refused[priority] += 1
                await answer_handshake(self._problem(spec), scope, receive, send)
                return
        await self._websocket(scope, receive, send)

    def _open(self, spec: SheddingSpec) -> Gate:
        loop = self._loop = asyncio.get_running_loop()
        limit = AdaptiveLimit(perf_counter, initial=spec.initial, most=spec.most, slower=spec.slower)
        gate = self.gate = Gate(limit, loop.call_soon, loop.call_later)
        if self._service.bound:
            shedding_metrics.track(self._service.binding("load shedding").metrics, gate, self.refused)
        return gate

    async def _let_in(self, gate: Gate, scope: Scope) -> bool:
        decided: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def decide(admitted: bool) -> None:
            if not decided.done():
                decided.set_result(admitted)
            elif admitted:
                gate.withdraw()

        priority = self._priority(scope)
        waiting = gate.wait(priority, decide)
        try:
            admitted = await decided
        except asyncio.CancelledError:
            gate.give_up(waiting)
            if decided.done() and not decided.cancelled() and decided.result():
                gate.withdraw()
            raise
        if not admitted:
            self.refused[priority] += 1
        return admitted

    def _priority(self, scope: Scope) -> Priority:
        declared = self._routes.of(scope)
        if declared is not None:
            return declared
        return Priority.READ if scope.get("method", "GET") in _READS else Priority.WRITE

    def _problem(self, spec: SheddingSpec) -> Problem:
        after = round(spec.retry_after.total_seconds() * (1 + self._random()))
        return Problem(
            503,
            "Temporarily Reduced Capacity",
            "There are more requests than can be answered now; try again later.",
            type=REDUCED_CAPACITY,
            headers={"retry-after": str(after), "cache-control": "no-store"},
        )
