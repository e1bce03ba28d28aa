"""Who asks, by the API key that a request shows; and no further without one where the service asks for it.

A request that shows none, to a route that asks for none, is looked at and passed on. A key that is shown is verified
whatever the route, from memory but for the first time in a while, so that limits and handlers know whose it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from roadworthy.errors import DatabaseUnavailable, KeyRefused, NotRunning
from roadworthy.http.asgi import ASGIApp, Layer, Receive, Scope, Send
from roadworthy.http.exchange import Exchange
from roadworthy.http.problems import ProblemResponse, refused, unavailable
from roadworthy.security.demands import Demand, Demands, allowed
from roadworthy.security.key import TAIL_LENGTH, prefix_of
from roadworthy.security.presented import API_KEY, CURRENT, ApiKey, Verdict
from roadworthy.telemetry.logging import CONTEXT

if TYPE_CHECKING:
    from roadworthy.security.keys_spec import ApiKeysSpec
    from roadworthy.security.verifying import Verifier
    from roadworthy.service import Service

KEY_ID = "key_id"
"""Under what name log lines of a request tell whose it is."""


class Shown:
    """Finds the key in a request's headers."""

    def __init__(self, specs: Iterable[ApiKeysSpec]) -> None:
        """Look for the keys of `specs`."""
        self._places: dict[bytes, dict[str, ApiKeysSpec]] = {}
        for spec in specs:
            self._places.setdefault(spec.header.encode(), {})[spec.prefix] = spec

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[ApiKeysSpec, str] | None:
        """Return whose key a request seems to show, and its text; None for none, and for more than one."""
        found: tuple[ApiKeysSpec, str] | None = None
        for name, value in headers:
            if (place := self._places.get(name)) is None:
                continue
            shown = _within(place, value.decode("latin-1").strip())
            if shown is not None and found is not None:
                return None
            found = shown or found
        return found


def _within(place: Mapping[str, ApiKeysSpec], value: str) -> tuple[ApiKeysSpec, str] | None:
    scheme, _, rest = value.rpartition(" ")
    spec = place.get(prefix_of(rest[:-TAIL_LENGTH]))
    if spec is None or scheme.strip().lower() != spec.scheme.lower():
        return None
    return spec, rest


class Authenticating:
    """The layer that knows whose key a request shows, and asks for one where it is declared."""

    def __init__(self, app: Layer, service: Service, websocket: ASGIApp) -> None:
        """Stand before `app`, and before `websocket` for WebSockets."""
        self._app = app
        self._websocket = websocket
        self._service = service

    @cached_property
    def _specs(self) -> tuple[ApiKeysSpec, ...]:
        return self._service.spec.api_keys

    @cached_property
    def _demands(self) -> Demands:
        return Demands(self._specs)

    @cached_property
    def _shown(self) -> Shown:
        return Shown(self._specs)

    def __call__(self, scope: Scope, receive: Receive, exchange: Exchange) -> Awaitable[None]:
        """Answer one request."""
        if not self._specs:
            return self._app(scope, receive, exchange)
        demands = self._demands.of(scope["method"], _path(scope))
        shown = self._shown.of(scope["headers"])
        if shown is None and not demands:
            return self._app(scope, receive, exchange)
        return self._guarded(scope, receive, exchange, demands, shown)

    async def _guarded(
        self,
        scope: Scope,
        receive: Receive,
        exchange: Exchange,
        demands: Sequence[Demand],
        shown: tuple[ApiKeysSpec, str] | None,
    ) -> None:
        verdict = None if shown is None else await self._verdict(*shown)
        answer = self._refusal(demands, verdict)
        if answer is not None:
            await answer(scope, receive, exchange)
            return
        key, logged = CURRENT.set(verdict), CONTEXT.set(_known(scope, verdict))
        try:
            await self._app(scope, receive, exchange)
        finally:
            CONTEXT.reset(logged)
            CURRENT.reset(key)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket, whose handshake asks for a key as a GET would."""
        if not self._specs:
            await self._websocket(scope, receive, send)
            return
        shown = self._shown.of(scope["headers"])
        verdict = None if shown is None else await self._verdict(*shown)
        answer = self._refusal(self._demands.of("GET", _path(scope)), verdict)
        if answer is None:
            key, logged = CURRENT.set(verdict), CONTEXT.set(_known(scope, verdict))
            try:
                await self._websocket(scope, receive, send)
            finally:
                CONTEXT.reset(logged)
                CURRENT.reset(key)
        elif "websocket.http.response" in scope.get("extensions", {}):
            await answer(scope, receive, send)
        else:
            # Before it is accepted, a server answers 403 to this.
            await send({"type": "websocket.close", "code": 1008})

    async def _verdict(self, spec: ApiKeysSpec, text: str) -> Verdict:
        verifier = self._verifier(spec)
        return verifier.recall(text) or await verifier.verify(text)

    def _verifier(self, spec: ApiKeysSpec) -> Verifier:
        if (verifiers := self._service.binding("the API keys").api_keys) is None:
            raise NotRunning("the API keys")
        return verifiers[spec.name]

    def _refusal(self, demands: Sequence[Demand], verdict: Verdict | None) -> ProblemResponse | None:
        """Return the answer to a request that does not show what it must, None for one that does."""
        for demand in demands:
            try:
                allowed(demand.keys, verdict, demand.scopes)
            except KeyRefused as error:
                if error.reason in ("missing", "forbidden"):
                    self._verifier(demand.keys).outcomes[error.reason] += 1
                return ProblemResponse(refused(error))
            except DatabaseUnavailable as error:
                return ProblemResponse(unavailable(error))
        return None


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root else path


def _known(scope: Scope, verdict: Verdict | None) -> Mapping[str, object]:
    """Put a key in force into the scope, and return the log's context with its id."""
    context = CONTEXT.get({})
    if not isinstance(verdict, ApiKey):
        return context
    scope[API_KEY] = verdict
    return {**context, KEY_ID: verdict.id}
