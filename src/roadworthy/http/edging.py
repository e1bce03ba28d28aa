"""What browsers and CDNs may keep of each response, said in its headers; and 304s to those that have it already.

What the application sets itself is left alone, but for this: a response that sets a cookie, or answers a request with
Authorization, is never marked for shared caches unless its policy says that these do not matter.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from roadworthy.edge.conditional import headers_of_304, outcome
from roadworthy.edge.etag import LARGEST, settled, strong_etag
from roadworthy.edge.fields import joined
from roadworthy.edge.policy import (
    CACHE_CONTROL,
    CDN_CACHE_CONTROL,
    NO_STORE,
    SURROGATE_CONTROL,
    Fields,
    Match,
    Rule,
    Rules,
    counting,
    fronts_of,
    normalised,
    privatised,
    tag_fields,
    unkept,
)
from roadworthy.edge.tags import CURRENT_TAGS, TAG_HEADERS, WITHIN, united
from roadworthy.http.asgi import Layer, Message, Receive, Scope, Send
from roadworthy.http.cache_key import url_key
from roadworthy.http.exchange import Exchange
from roadworthy.http.headers import is_event_stream
from roadworthy.http.route import RouteTemplate, route_template
from roadworthy.security.presented import API_KEY
from roadworthy.telemetry.metrics import HTTP_EDGE_TAG_OVERFLOWS, UNMATCHED_ROUTE

if TYPE_CHECKING:
    from roadworthy.service import Service

EDGE = "roadworthy.edge"
"""Where the ASGI scope has the `Match` of a request, for a service that declares policies of routes."""

_STANDING_OUT = TAG_HEADERS | {b"set-cookie"}
_FOR_SHARED = frozenset({CDN_CACHE_CONTROL, SURROGATE_CONTROL})


def matched(scope: Scope, rules: Rules) -> None:
    """Note which policy a request looks like, and leave of it what counts by that: query parameters, listed values."""
    rule = _looked_like(scope, rules)
    if rule is not None:
        scope[EDGE] = Match(rule)
        scope["headers"] = normalised(scope["headers"], rule)
        scope["query_string"] = counting(scope["query_string"], rule)


def _looked_like(scope: Scope, rules: Rules) -> Rule | None:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return rules.match(scope["method"], path.removeprefix(root) if root else path)


class Edging:
    """The layer that gives responses their policies' headers."""

    def __init__(
        self,
        app: Layer,
        service: Service,
        route: RouteTemplate = route_template,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Go around `app`. `route` names a dispatched request's route; `clock` tells Unix time."""
        self._app = app
        self._service = service
        self.route = route
        self.clock = clock

    @cached_property
    def rules(self) -> Rules:
        """The policies that are declared when the first request comes."""
        spec = self._service.spec
        return Rules(spec.edges, fronts_of(spec.fronts, spec.cdns))

    @cached_property
    def _declared(self) -> bool:
        return bool(self.rules)

    def key(self, scope: Scope, fields: Mapping[bytes, bytes]) -> str | None:
        """Return the key of a request in the service's own HTTP cache; None where its route is not kept there."""
        rule = _looked_like(scope, self.rules)
        if rule is None or not rule.spec.cached:
            return None
        query = counting(scope["query_string"], rule)
        return url_key(scope if query == scope["query_string"] else {**scope, "query_string": query}, fields)

    async def __call__(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        """Answer one request."""
        before = exchange.shaping
        if not self._declared:
            exchange.shaping = _Undeclared(self, scope, exchange)
            try:
                await self._app(scope, receive, exchange)
            finally:
                # They have each other: only the collector would find them, and requests would wait for it.
                exchange.shaping = before
            return
        response = exchange.shaping = _Response(self, scope, before or exchange.forward)
        token = CURRENT_TAGS.set(response.added)
        try:
            await self._app(scope, receive, exchange)
            await response.finish()
        finally:
            CURRENT_TAGS.reset(token)
            exchange.shaping = before

    def overflowed(self, rule: Rule) -> None:
        """Count a response whose tags do not fit."""
        if self._service.bound:
            metrics = self._service.binding("the HTTP metrics").metrics
            metrics.bound(HTTP_EDGE_TAG_OVERFLOWS).labels(rule.path).inc()


class Untagging:
    """Takes the tags from a response that the service's own cache has seen, where nobody further out reads them."""

    __slots__ = ("_next",)

    def __init__(self, next: Send) -> None:
        """Pass on to `next`."""
        self._next = next

    def __call__(self, message: Message) -> Awaitable[None]:
        """Pass on a message."""
        if message["type"] == "http.response.start":
            message = {**message, "headers": [pair for pair in message["headers"] if pair[0] not in TAG_HEADERS]}
        return self._next(message)


class _Undeclared:
    """A response of which nothing is declared: looked at once, and left as it is unless it is somebody's own."""

    __slots__ = ("_before", "_edging", "_exchange", "_scope")

    def __init__(self, edging: Edging, scope: Scope, exchange: Exchange) -> None:
        self._edging = edging
        self._scope = scope
        self._exchange = exchange
        self._before = exchange.shaping

    def __call__(self, message: Message) -> Awaitable[None]:
        following = self._before or self._exchange.forward
        if message["type"] == "http.response.start":
            # There is nothing to do to what follows.
            self._exchange.shaping = self._before
            if message["status"] >= 500 or self._stands_out(message):
                return _Response(self._edging, self._scope, following)(message)
        return following(message)

    def _stands_out(self, message: Message) -> bool:
        for name, _ in message.get("headers", ()):
            if name in _STANDING_OUT:
                return True
        for name, _ in self._scope["headers"]:
            if name == b"authorization":
                return True
        return API_KEY in self._scope


class _Response:
    """One response on its way out. Its start waits for the body where the entity tag depends on that."""

    __slots__ = ("_edging", "_next", "_scope", "_silent", "_start", "added")

    def __init__(self, edging: Edging, scope: Scope, next: Send) -> None:
        self.added: list[str] = []
        self._edging = edging
        self._scope = scope
        self._next = next
        self._start: Message | None = None
        self._silent = False

    def __call__(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.start":
            return self._begin(message)
        if self._silent:
            return _nothing()
        if self._start is not None:
            return self._with_body(message)
        return self._next(message)

    def _begin(self, message: Message) -> Awaitable[None]:
        headers: Fields = list(message.get("headers", ()))
        names = {name for name, _ in headers}
        rule = self._rule(message["status"], headers)
        message = {**message, "headers": self._fielded(rule, message["status"], headers, names)}
        # An error after a start that was held back takes its place.
        self._start = None
        if rule is None or message["status"] != 200 or self._scope["method"] not in ("GET", "HEAD"):
            return self._next(message)
        if b"etag" in names or b"last-modified" in names:
            return self._answer(message)
        if not rule.policy.etag or _is_long(headers) or is_event_stream(headers) or message.get("trailers"):
            return self._next(message)
        self._start = message
        return _nothing()

    async def _with_body(self, message: Message) -> None:
        start, self._start = self._start, None
        assert start is not None  # noqa: S101 (checked by the caller)  # nosec B101
        body: bytes = message.get("body", b"")
        if message["type"] == "http.response.body" and not message.get("more_body") and len(body) <= LARGEST:
            headers: Fields = start["headers"]
            fields = dict(headers)
            encoding = fields.get(b"content-encoding", b"")
            # To a HEAD, an application may give no body: that is none to make an entity tag of.
            if self._scope["method"] == "GET" or (body and fields.get(b"content-length") == b"%d" % len(body)):
                body = settled(body, encoding)
                message = {**message, "body": body}
                etag = strong_etag(body, encoding, fields.get(b"content-type", b""))
                start = {**start, "headers": [*headers, (b"etag", etag)]}
            await self._answer(start)
            if self._silent:
                return
        else:
            await self._next(start)
        await self._next(message)

    async def _answer(self, start: Message) -> None:
        """Pass on a start whose validators are known, or answer 304 or 412 in place of it and of all that follows."""
        headers: Fields = start["headers"]
        fields = dict(headers)
        etag = fields.get(b"etag")
        status = outcome(
            self._scope["method"],
            joined(self._scope["headers"]),
            etag=etag,
            last_modified=fields.get(b"last-modified"),
            now=self._edging.clock(),
        )
        if status == 200:
            await self._next(start)
            return
        self._silent = True
        kept = headers_of_304(headers, etag=etag)
        if status == 412:
            kept = [(name, value) for name, value in kept if name != CACHE_CONTROL and name not in _FOR_SHARED]
            kept += [*NO_STORE, (b"content-length", b"0")]
        await self._next({"type": "http.response.start", "status": status, "headers": kept})
        await self._next({"type": "http.response.body", "body": b""})

    async def finish(self) -> None:
        """Pass on what is still held back of a response without a body."""
        if self._start is not None:
            start, self._start = self._start, None
            await self._next(start)

    def _rule(self, status: int, headers: Fields) -> Rule | None:
        """Return the rule of the response, by the route that was really taken where that is known."""
        rules, scope = self._edging.rules, self._scope
        match: Match | None = scope.get(EDGE)
        rule = None if match is None else match.rule
        if match is not None:
            template = self._edging.route(scope, status)
            if template != UNMATCHED_ROUTE and (rule is None or rule.path != template):
                rule = rules.of_route(scope["method"], template)
        if rule is None:
            rule = rules.of_kind(dict(headers).get(b"content-type", b""))
        if rule is None:
            scope.pop(EDGE, None)
        elif match is None or match.rule is not rule:
            scope[EDGE] = Match(rule)
        return rule

    def _fielded(self, rule: Rule | None, status: int, headers: Fields, names: set[bytes]) -> Fields:
        """Return the response's headers with those of its policy."""
        kept = rule is not None and rule.policy.is_shared and rule.fields(status) is not NO_STORE
        if kept and rule is not None and rule.policy.cookies == "ignored" and b"set-cookie" in names:
            # It is to go to many, and so to nobody.
            headers = [header for header in headers if header[0] != b"set-cookie"]
        if self._is_personal(rule, names):
            headers, kept = _kept_private(headers, rule, status), False
        elif CACHE_CONTROL not in names:
            headers += _own_fields(rule, status, names)
        forms = self._edging.rules.forms
        if kept and rule is not None:
            headers = self._tagged(rule, headers, names)
        elif not names.isdisjoint(TAG_HEADERS) and (rule is not None or not forms):
            headers = [header for header in headers if header[0] not in TAG_HEADERS]
        if rule is not None and status < 500:
            _merge_vary(headers, rule, names)
        return headers

    def _is_personal(self, rule: Rule | None, names: set[bytes]) -> bool:
        policy = None if rule is None or not rule.policy.is_shared else rule.policy
        if b"set-cookie" in names and (policy is None or policy.cookies == "bypass"):
            return True
        if policy is not None and policy.authorization == "ignored":
            return False
        return API_KEY in self._scope or any(name == b"authorization" for name, _ in self._scope["headers"])

    def _tagged(self, rule: Rule, headers: Fields, names: set[bytes]) -> Fields:
        """Return the headers of what a shared cache may keep with its tags; without those, where they do not fit."""
        scope, edging = self._scope, self._edging
        given: list[str] = []
        if not names.isdisjoint(TAG_HEADERS):
            for name, value in headers:
                if name in TAG_HEADERS:
                    given += value.decode("latin-1").replace(",", " ").split()
            headers = [header for header in headers if header[0] not in TAG_HEADERS]
        tags = united([*given, *rule.tags(scope["path"], scope.get("query_string", b"")), *self.added])
        scope[EDGE].tags = tags
        forms = edging.rules.forms or ((WITHIN,) if rule.spec.cached else ())
        carried = tag_fields(forms, tags)
        if carried is not None:
            return headers + carried
        edging.overflowed(rule)
        left = [header for header in headers if header[0] != CACHE_CONTROL and header[0] not in _FOR_SHARED]
        return left + unkept(rule.policy)


def _own_fields(rule: Rule | None, status: int, names: set[bytes]) -> Fields:
    """Return what is said of a response of which the application did not."""
    if rule is None:
        return NO_STORE if status >= 500 else []
    fields = rule.fields(status)
    return fields if names.isdisjoint(_FOR_SHARED) else [field for field in fields if field[0] not in _FOR_SHARED]


def _kept_private(headers: Fields, rule: Rule | None, status: int) -> Fields:
    """Return headers that let no shared cache keep the response, whatever the application said."""
    kept = [header for header in headers if header[0] not in _FOR_SHARED and header[0] not in TAG_HEADERS]
    given = [value for name, value in kept if name == CACHE_CONTROL]
    if not given:
        return kept + (NO_STORE if rule is None or rule.fields(status) is NO_STORE else rule.personal)
    kept = [header for header in kept if header[0] != CACHE_CONTROL]
    return [*kept, (CACHE_CONTROL, privatised(b", ".join(given)))]


def _merge_vary(headers: Fields, rule: Rule, names: set[bytes]) -> None:
    wanted = [vary.header for vary in rule.policy.vary]
    if b"content-encoding" in names:
        wanted.append("Accept-Encoding")
    if not wanted:
        return
    given = [value for name, value in headers if name == b"vary"]
    listed = [item.strip() for item in b",".join(given).decode("latin-1").split(",") if item.strip()]
    known = {item.lower() for item in listed}
    if "*" in known:
        return
    merged = listed + [name for name in wanted if name.lower() not in known]
    headers[:] = [header for header in headers if header[0] != b"vary"]
    headers.append((b"vary", ", ".join(merged).encode("latin-1")))


def _is_long(headers: Fields) -> bool:
    length = next((value for name, value in headers if name == b"content-length"), b"")
    return length.isdigit() and int(length) > LARGEST


async def _nothing() -> None:
    pass
