"""What a request has to be before anything looks at it: addressed to us, of a bearable size, and done in time.

The bounds apply undeclared. What another layer or the application answers carries the CORS fields of its path, and so
do the refusals of this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roadworthy.http.asgi import ASGIApp, Headers, Layer, Receive, Scope, Send
from roadworthy.http.bodies import BoundedBody
from roadworthy.http.cors import Cors
from roadworthy.http.deadlines import Deadlines
from roadworthy.http.exchange import Exchange
from roadworthy.http.matching import Routes
from roadworthy.http.problems import Problem, ProblemResponse
from roadworthy.resilience.deadline import HEADER, heed
from roadworthy.security.bounds import ANY, HEADER_BYTES, HEADER_FIELDS, Bounds, Hosts

if TYPE_CHECKING:
    from roadworthy.service import Service, ServiceSpec

_TIMEOUT = HEADER.encode()


@dataclass(frozen=True, slots=True)
class Rules:
    """What requests are held to."""

    hosts: Hosts | None
    cors: Cors | None
    routes: Routes[Bounds] | None
    others: Bounds

    @classmethod
    def of(cls, spec: ServiceSpec) -> Rules:
        """Return what a service declares."""
        others = Bounds()
        for one in spec.bounds:
            if one.name == ANY:
                others = others.narrowed(one)
        routes = {one.name: others.narrowed(one) for one in spec.bounds if one.name != ANY}
        return cls(
            Hosts(spec.hosts[0].hosts) if spec.hosts else None,
            Cors(spec.cors) if spec.cors else None,
            Routes(routes) if routes else None,
            others,
        )


class Guarding:
    """The layer that refuses what does not have to be looked at, and ends what takes too long."""

    def __init__(self, app: Layer, service: Service, websocket: ASGIApp) -> None:
        """Stand before `app`, and before `websocket` for WebSockets."""
        self._app = app
        self._websocket = websocket
        self._service = service
        self._rules: Rules | None = None
        self._deadlines = Deadlines()

    async def __call__(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        """Answer one request."""
        rules = self._rules or self._load()
        fields = exchange.fields
        policy = None if rules.cors is None else rules.cors.of(scope["path"])
        if policy is not None:
            exchange.headers += policy.fields(fields.get(b"origin"))
        refusal = _refusal(scope, fields, rules.hosts)
        if refusal is not None:
            await ProblemResponse(refusal)(scope, receive, exchange)
            return
        if policy is not None and policy.is_preflight(scope["method"], fields):
            await policy.answer(fields, scope, receive, exchange)
            return
        heed(fields.get(_TIMEOUT))
        bounds = rules.others if rules.routes is None else rules.routes.of(scope) or rules.others
        body = None
        if b"content-length" in fields or b"transfer-encoding" in fields or scope.get("http_version", "2")[0] != "1":
            is_json = b"json" in fields.get(b"content-type", b"")
            body = receive = BoundedBody(receive, exchange, bounds.body, bounds.depth if is_json else None)
        if bounds.deadline is None:
            await self._app(scope, receive, exchange)
        else:
            line = self._deadlines.line(bounds.deadline)
            line.begin(exchange)
            try:
                await self._app(scope, receive, exchange)
            except BaseException as error:
                # Others cancel, too; theirs stands.
                if not line.end(exchange) or _cancelled_by_others(exchange) or not _is_cancellation(error):
                    raise
                exchange.refused = _late(body, bounds.deadline)
            else:
                if line.end(exchange) and not _cancelled_by_others(exchange):
                    exchange.refused = _late(body, bounds.deadline)
        if exchange.refused is not None:
            problem, exchange.refused = exchange.refused, None
            if exchange.status is None:
                await ProblemResponse(problem)(scope, receive, exchange)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a WebSocket on, unless its handshake is refused."""
        refusal = _refusal(scope, dict(scope["headers"]), (self._rules or self._load()).hosts)
        if refusal is None:
            await self._websocket(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 1008})

    def _load(self) -> Rules:
        self._rules = Rules.of(self._service.spec)
        return self._rules


def _refusal(scope: Scope, fields: Mapping[bytes, bytes], hosts: Hosts | None) -> Problem | None:
    """Return why a request is not looked at, None where it is."""
    headers = scope["headers"]
    if len(headers) > HEADER_FIELDS or _size(headers, fields) > HEADER_BYTES:
        detail = f"Send at most {HEADER_FIELDS} header fields of {HEADER_BYTES // 1024} kB together."
        return Problem(431, detail=detail, headers={"connection": "close"})
    if hosts is not None and not _is_known(headers, hosts):
        return Problem(400, detail="The Host header names no host of this service.")
    return None


def _size(headers: Headers, fields: Mapping[bytes, bytes]) -> int:
    """Return the bytes of the names and values."""
    if len(fields) == len(headers):
        return sum(map(len, fields.values())) + sum(map(len, fields))
    return sum([len(name) + len(value) for name, value in headers])


def _is_known(headers: Headers, hosts: Hosts) -> bool:
    named = [value for name, value in headers if name == b"host"]
    return len(named) == 1 and named[0].decode("latin-1") in hosts


def _is_cancellation(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError)


def _cancelled_by_others(exchange: Exchange) -> bool:
    """Take the deadline's cancellation back; return whether another one stands."""
    return exchange.task is not None and exchange.task.uncancel() > 0


def _late(body: BoundedBody | None, seconds: float) -> Problem:
    if body is not None and not body.complete:
        detail = f"The body did not arrive within {seconds:g} s."
        return Problem(408, detail=detail, headers={"connection": "close"})
    return Problem(504, detail=f"The service did not answer within {seconds:g} s.")
