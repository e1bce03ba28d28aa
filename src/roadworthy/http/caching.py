"""A shared HTTP cache in front of an application (RFC 9111), as a layer of ASGI.

A response goes out as it comes, and is kept on the way if it may be. What the store has is sent without asking the
application; what is stale is asked after with its validators, or used while it is fetched anew or where that fails, as
the response allows. Of several requests for what is not there, one goes to the application and the others wait for it,
unless it turns out to be private.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from roadworthy.edge.answer import answer
from roadworthy.edge.cache_control import request_directives
from roadworthy.edge.conditional import CONDITIONS, validating
from roadworthy.edge.fields import by_name, joined
from roadworthy.edge.freshness import Assessment, Rules, Use, assess, usable_on_error, use
from roadworthy.edge.invalidation import SAFE, invalidates, targets
from roadworthy.edge.shelf import Shelf, stored_response, updated_headers, variant_key
from roadworthy.edge.status import Forwarded, forwarded, hit, refused
from roadworthy.edge.storage import ResponseStorage
from roadworthy.edge.stored import Fields, StoredResponse
from roadworthy.http.asgi import ASGIApp, Headers, Message, Receive, Scope, Send
from roadworthy.http.cache_key import BARRING, CacheKey, url_key
from roadworthy.http.edging import EDGE
from roadworthy.http.flights import Flight, Flights
from roadworthy.http.recording import Recording, Request, Response
from roadworthy.http.refreshing import Refreshes
from roadworthy.http.route import CACHED_ROUTE, RouteTemplate, route_template
from roadworthy.telemetry.logging import get_logger

REFRESH = "roadworthy.refresh"
"""Is in the scope of a request that the cache makes itself, to which no client waits."""

_log = get_logger(__name__)

_CONSIDERED = CONDITIONS | {b"authorization", b"cache-control", b"pragma", b"range"}
_MOST_RENDERED = 4096
_ATTEMPTS = 3


class HTTPCache:
    """An ASGI application: another one behind a shared cache.

    Everything outside of HTTP passes through. What is fetched in the background ends with the lifespan.
    """

    def __init__(
        self,
        app: ASGIApp,
        storage: ResponseStorage,
        *,
        name: str = "roadworthy",
        targeted: Sequence[str] = ("CDN-Cache-Control",),
        clock: Callable[[], float] = time.time,
        share_cookies: bool = False,
        share_authorised: bool = False,
        heuristic: float = 0.1,
        grace: float = 60.0,
        largest: int = 2 * 1024 * 1024,
        patience: float = 5.0,
        refresh_timeout: float = 30.0,
        key: CacheKey = url_key,
        route: RouteTemplate = route_template,
    ) -> None:
        """Cache what `app` answers in `storage`.

        `name` is what the cache calls itself in `Cache-Status`; `targeted` are the fields of RFC 9213 that are for it;
        `clock` tells Unix time. `share_cookies`, `share_authorised`, `heuristic` and `grace` are as in `Rules`.
        `largest` is the longest body that is kept, in bytes. For `patience` seconds a request waits for another one to
        the same URL before it goes to the application itself; `refresh_timeout` seconds has what is fetched in the
        background. `key` gives a request's key, None to keep it out; `route` names its route for the metrics.
        """
        self.name = name
        self.clock = clock
        self.largest = largest
        self.rules = Rules(
            targeted=tuple(field.lower().encode("ascii") for field in targeted),
            share_cookies=share_cookies,
            share_authorised=share_authorised,
            heuristic=heuristic,
            grace=grace,
        )
        self._app = app
        self._storage = storage
        self._shelf = Shelf(storage)
        self._key = key
        self._route = route
        self._patience = patience
        self._flights = Flights()
        self._rendered: dict[str, tuple[Fields, int, Headers]] = {}
        self._refreshes = Refreshes(clock, refresh_timeout)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; pass anything else on."""
        if scope["type"] != "http":
            await self._pass_on(scope, receive, send)
            return
        method = scope["method"]
        if method != "GET" and method != "HEAD":
            await self._change(scope, receive, send)
            return
        fields = joined(scope["headers"])
        key = self._key(scope, fields)
        if key is None:
            await self._app(scope, receive, _noting(send, forwarded(self.name, "bypass")))
            return
        variant = key
        stored = self._storage.peek(key)
        if stored is not None and not stored.status:
            variant = variant_key(key, stored.vary, fields)
            stored = self._storage.peek(variant)
        if stored is not None and self.clock() < stored.fresh_until and _CONSIDERED.isdisjoint(fields):
            if stored.route is not None:
                scope[CACHED_ROUTE] = stored.route
            await send({"type": "http.response.start", "status": stored.status, "headers": self._hit(variant, stored)})
            await send({"type": "http.response.body", "body": b"" if method == "HEAD" else stored.body})
            return
        await self._answer(Request(scope, receive, send, fields, key, variant))

    async def close(self) -> None:
        """Cancel what is fetched in the background."""
        await self._refreshes.close()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "lifespan":
                await self.close()

    def _hit(self, key: str, stored: StoredResponse) -> Headers:
        """Return the headers of a hit, a list of the caller's own; they change once a second."""
        now = self.clock()
        rendered = self._rendered.get(key)
        if rendered is None or rendered[0] is not stored.headers or rendered[1] != int(now):
            headers = [
                *stored.headers,
                (b"age", b"%d" % stored.age(now)),
                (b"cache-status", hit(self.name, stored.remaining(now))),
            ]
            if len(self._rendered) >= _MOST_RENDERED:
                self._rendered.clear()
            rendered = self._rendered[key] = (stored.headers, int(now), headers)
        return rendered[2].copy()

    async def _answer(self, request: Request, attempt: int = 1) -> None:
        """Answer from the store if it may be used, else have the application asked."""
        fields, directives = request.fields, request.directives
        if attempt == 1:
            directives = request.directives = request_directives(fields.get(b"cache-control"), fields.get(b"pragma"))
        request.variant, stored = await self._shelf.find(request.key, fields)
        reason: Forwarded = "vary-miss" if request.variant != request.key else "uri-miss"
        if stored is not None:
            now = self.clock()
            if b"authorization" in fields and not (stored.for_all or self.rules.share_authorised):
                stored, reason = None, "bypass"
            else:
                usable = use(stored, directives, now)
                if usable is not Use.VALIDATE:
                    await self._use(request, stored, usable, now)
                    return
                reason = "request" if stored.remaining(now) > 0 and not stored.always_validate else "stale"
        if "only-if-cached" in directives:
            await self._refuse(request)
            return
        await self._fetch(request, stored, reason, attempt)

    async def _use(self, request: Request, stored: StoredResponse, usable: Use, now: float) -> None:
        detail = None
        if usable is Use.STALE_WHILE_REVALIDATE:
            detail = "stale-while-revalidate"
            self._refresh(request, stored)
        elif usable is Use.STALE:
            detail = "max-stale"
        await self.respond(request, stored, hit(self.name, stored.remaining(now), detail))

    async def _refuse(self, request: Request) -> None:
        """Say that the store has no answer to a request that wants none but a stored one."""
        body = b"" if request.head else b"not in the cache\n"
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"17"),
            (b"cache-control", b"no-store"),
            (b"cache-status", refused(self.name, "only-if-cached")),
        ]
        await request.send({"type": "http.response.start", "status": 504, "headers": headers})
        await request.send({"type": "http.response.body", "body": body})

    async def _fetch(self, request: Request, stored: StoredResponse | None, reason: Forwarded, attempt: int) -> None:
        """Ask the application, or wait for another request that does."""
        key = request.variant
        if not self._may_share(request, stored):
            await self._forward(request, stored, reason, None)
            return
        flight = self._flights.under_way(key)
        if flight is None:
            with self._flights.leading(key) as flight:
                await self._forward(request, stored, reason, flight)
            return
        ending = await flight.wait(self._patience)
        if ending == "failed" and attempt < _ATTEMPTS:
            # Whoever was ahead is gone. One of those that waited is next.
            await self._answer(request, attempt + 1)
            return
        request.variant, found = await self._shelf.find(request.key, request.fields)
        now = self.clock()
        if found is not None and (
            use(found, request.directives, now) in {Use.FRESH, Use.STALE}
            or (ending == "stale" and usable_on_error(found, request.directives, now))
        ):
            await self.respond(request, found, forwarded(self.name, reason, collapsed=True))
        elif ending == "stored" and request.variant != key and attempt < _ATTEMPTS:
            # It has variants, and another one came.
            await self._answer(request, attempt + 1)
        else:
            await self._forward(request, found or stored, reason, None)

    def _may_share(self, request: Request, stored: StoredResponse | None) -> bool:
        """Return whether a request may wait for another's response, and have others wait for its own."""
        fields, directives = request.fields, request.directives
        if request.head or b"range" in fields or "no-cache" in directives or "no-store" in directives:
            return False
        if b"authorization" in fields and not self.rules.share_authorised:
            return False
        if stored is None and not CONDITIONS.isdisjoint(fields):
            return False
        return not self._flights.is_private(request.variant, self.clock())

    async def _forward(
        self, request: Request, stored: StoredResponse | None, reason: Forwarded, flight: Flight | None
    ) -> None:
        """Have the application answer, with the validators of what is stored in place of the client's."""
        asking = (
            stored is not None
            and not request.head
            and (stored.etag is not None or stored.last_modified is not None)
            and b"if-match" not in request.fields
            and b"if-unmodified-since" not in request.fields
        )
        recording = Recording(
            self,
            request,
            reason,
            stored=stored,
            validating=asking,
            moment=self._storage.moment(),
            flight=flight,
        )
        scope = request.scope
        headers = scope["headers"]
        if asking and stored is not None:
            # The same scope, for the layers outside read from it what the application notes there.
            scope["headers"] = validating(headers, etag=stored.etag, last_modified=stored.last_modified)
        try:
            await self._app(scope, request.receive, recording)
        except Exception as error:
            if (
                recording.begun
                or request.background
                or stored is None
                or not usable_on_error(stored, request.directives, self.clock())
            ):
                raise
            _log.error("a stale response stands in for a failure", path=scope["path"], exc_info=error)
            if flight is not None:
                flight.land("stale")
            await self.respond(request, stored, forwarded(self.name, reason, detail="stale-if-error"))
        finally:
            scope["headers"] = headers

    def _refresh(self, request: Request, stored: StoredResponse) -> None:
        """Fetch a response anew in the background."""
        scope = {**request.scope, "method": "GET", REFRESH: True}
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in _UNWANTED]
        fields = joined(scope["headers"])
        copy = Request(scope, _waiting(), _discard, fields, request.key, request.variant, background=True)
        self._refreshes.start(request.variant, scope["path"], partial(self._forward, copy, stored, "stale", None))

    async def respond(self, request: Request, stored: StoredResponse, status: bytes) -> None:
        """Answer with a stored response, or with what of it the request wants."""
        now = self.clock()
        if stored.route is not None:
            request.scope[CACHED_ROUTE] = stored.route
        own = [(b"age", b"%d" % stored.age(now)), (b"cache-status", status)]
        code, headers, body = answer(stored, request.fields, head=request.head, now=now)
        await request.send({"type": "http.response.start", "status": code, "headers": headers + own})
        await request.send({"type": "http.response.body", "body": b"" if request.head else body})

    async def keep(self, request: Request, response: Response, assessment: Assessment, body: bytes) -> bool:
        """Keep a whole response; return whether that was done."""
        stored = stored_response(
            response.status,
            response.headers,
            body,
            assessment,
            requested=response.requested,
            received=response.received,
            route=self._route(request.scope, response.status),
            tags=getattr(request.scope.get(EDGE), "tags", ()),
        )
        return await self._shelf.keep(request.key, request.fields, stored, response.moment, response.received)

    async def freshen(self, request: Request, stored: StoredResponse, response: Response) -> StoredResponse:
        """Return a stored response after the application said that it still holds, and keep that."""
        headers = updated_headers(stored, response.headers, response.received)
        assessment = assess(
            request.fields,
            request.directives,
            stored.status,
            by_name([*headers, *((name, value) for name, value in response.headers if name == b"age")]),
            requested=response.requested,
            received=response.received,
            rules=self.rules,
        )
        updated = stored_response(
            stored.status,
            headers,
            stored.body,
            assessment,
            requested=response.requested,
            received=response.received,
            route=stored.route,
            tags=stored.tags,
        )
        if assessment.refusal is None:
            await self._shelf.keep(request.key, request.fields, updated, response.moment, response.received)
        return updated

    async def update(self, request: Request, stored: StoredResponse, response: Response) -> None:
        """Go by what a HEAD said of a stored response: it still holds, or is to be asked after (RFC 9111, 4.3.5)."""
        if response.status != 200 or stored.status != 200:
            return
        there = dict(stored.headers)
        same = all(
            there.get(name) == lines[0]
            for name, lines in response.fields.items()
            if name in {b"etag", b"last-modified", b"content-length"}
        )
        if same:
            await self.freshen(request, stored, response)
        elif stored.fresh_until:
            outdated = msgspec.structs.replace(stored, lifetime=0.0, fresh_until=0.0, stale_while=0.0)
            await self._shelf.keep(request.key, request.fields, outdated, response.moment, response.received)

    async def forget(self, request: Request) -> None:
        """Drop what was stored for such a request."""
        await self._storage.delete(request.variant)

    def turned_out_private(self, request: Request, now: float) -> None:
        """Remember that responses to such a request are not for others."""
        self._flights.note_private(request.variant, now)

    async def _change(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on that may change something, and forget what it makes invalid."""
        status = forwarded(self.name, "method")
        if scope["method"] in SAFE:
            await self._app(scope, receive, _noting(send, status))
            return

        async def changing(message: Message) -> None:
            if message["type"] == "http.response.start" and invalidates(scope["method"], message["status"]):
                await self._invalidate(scope, [(name.lower(), value) for name, value in message.get("headers", ())])
            await noting(message)

        noting = _noting(send, status)
        await self._app(scope, receive, changing)

    async def _invalidate(self, scope: Scope, headers: Headers) -> None:
        fields = {name: value for name, value in joined(scope["headers"]).items() if name not in BARRING}
        host = fields.get(b"host", b"").decode("latin-1")
        raw = scope.get("raw_path") or scope["path"].encode()
        url = f"{scope['scheme']}://{host}{raw.decode('latin-1')}"
        scopes: list[Scope] = [scope]
        scopes += [
            {**scope, "path": target.path, "raw_path": target.raw_path, "query_string": target.query}
            for target in targets(url, headers)
        ]
        for key in {self._key({**one, "method": "GET"}, fields) for one in scopes}:
            if key is not None:
                await self._shelf.drop(key)


_UNWANTED = CONDITIONS | {b"range", b"cache-control", b"pragma"}


def _noting(send: Send, status: bytes) -> Send:
    """Return `send`, adding a `Cache-Status` to the response."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"cache-status", status)]}
        await send(message)

    return noting


def _waiting() -> Receive:
    """Return the `receive` of a client that has sent its whole request and waits."""
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not messages:
            await asyncio.get_running_loop().create_future()
        return messages.pop()

    return receive


async def _discard(_message: Message) -> None:
    return None
