"""The `send` that an application gets behind the cache: passes its response on, and keeps it if it may be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roadworthy.edge.cache_control import NONE, Directives
from roadworthy.edge.conditional import headers_of_304, not_modified
from roadworthy.edge.fields import by_name, content_length
from roadworthy.edge.freshness import ERRORS, Assessment, assess, usable_on_error
from roadworthy.edge.status import Forwarded, forwarded
from roadworthy.edge.stored import StoredResponse
from roadworthy.http.asgi import Headers, Message, Receive, Scope, Send
from roadworthy.http.flights import Ending, Flight

if TYPE_CHECKING:
    from roadworthy.http.caching import HTTPCache

LAST: Message = {"type": "http.response.body", "body": b""}


_OUTDATING = frozenset({"never-fresh", "no-lifetime", "no-store", "private", "vary"})
"""Refusals after which what was stored before is not to be used either."""


@dataclass(slots=True)
class Request:
    """A GET or HEAD as the cache sees it. `key` is its URL's; `variant` that of what would match its headers, too."""

    scope: Scope
    receive: Receive
    send: Send
    fields: dict[bytes, bytes]
    key: str
    variant: str
    directives: Directives = NONE
    background: bool = False

    @property
    def head(self) -> bool:
        """Whether it wants no content."""
        return bool(self.scope["method"] == "HEAD")


@dataclass(slots=True)
class Response:
    """A response whose headers are there: `headers` with names in lower case, `fields` the lines of each."""

    status: int
    headers: Headers
    fields: dict[bytes, list[bytes]]
    requested: float
    received: float
    moment: Any


class Recording:
    """The response to one request.

    `stored` is what the store had and the application was asked after; `validating` says that the request bears its
    validators in place of the client's own. `begun` says that the client was sent something.
    """

    def __init__(
        self,
        cache: HTTPCache,
        request: Request,
        reason: Forwarded,
        *,
        stored: StoredResponse | None,
        validating: bool,
        moment: Any,
        flight: Flight | None,
    ) -> None:
        self._cache = cache
        self._request = request
        self._reason = reason
        self._stored = stored
        self._validating = validating
        self._moment = moment
        self._flight = flight
        self._requested = cache.clock()
        self._response: Response | None = None
        self._assessment: Assessment | None = None
        self._chunks: list[bytes] = []
        self._length = 0
        self._answered = False
        self.begun = False
        self.kept = False

    async def __call__(self, message: Message) -> None:
        """Take a message of the application's."""
        kind = message["type"]
        if kind == "http.response.start":
            await self._start(message)
            return
        if kind == "http.response.body":
            if self._assessment is not None:
                await self._record(message)
        elif self._assessment is not None:
            # Trailers, or a file that the server is to read: nothing that is kept.
            self._give_up()
        if not self._answered:
            await self._request.send(message)

    async def _start(self, message: Message) -> None:
        now = self._cache.clock()
        headers = [(name.lower(), value) for name, value in message.get("headers", ())]
        response = Response(message["status"], headers, by_name(headers), self._requested, now, self._moment)
        if self._stored is not None and await self._settled(self._stored, response):
            return
        self._response = response
        if self._stored is not None and self._request.head:
            await self._cache.update(self._request, self._stored, response)
        refusal = self._assess(response, trailers=bool(message.get("trailers")))
        if self._assessment is None:
            self._land("private")
            if refusal in _OUTDATING and self._stored is not None:
                await self._cache.forget(self._request)
        status = forwarded(
            self._cache.name,
            self._reason,
            status=response.status,
            stored=self._assessment is not None,
            detail=refusal,
        )
        self.begun = True
        if self._hidden(response, now):
            self._answered = True
            headers_left = headers_of_304(headers, etag=_first(response, b"etag"))
            await self._request.send(
                {"type": "http.response.start", "status": 304, "headers": [*headers_left, (b"cache-status", status)]}
            )
            await self._request.send(LAST)
            return
        await self._request.send({**message, "headers": [*headers, (b"cache-status", status)]})

    async def _settled(self, stored: StoredResponse, response: Response) -> bool:
        """Answer with what is stored where the application says that it still holds, or fails and it may stand in."""
        cache, request = self._cache, self._request
        if self._validating and response.status == 304:
            self.begun = self._answered = self.kept = True
            updated = await cache.freshen(request, stored, response)
            self._land("stored")
            await cache.respond(request, updated, forwarded(cache.name, self._reason, status=304, stored=True))
            return True
        if response.status in ERRORS and usable_on_error(stored, request.directives, response.received):
            self.begun = self._answered = True
            self._land("stale")
            await cache.respond(
                request,
                stored,
                forwarded(cache.name, self._reason, status=response.status, detail="stale-if-error"),
            )
            return True
        return False

    def _assess(self, response: Response, *, trailers: bool) -> str | None:
        """Begin to record if the response may be kept; return why not."""
        request, cache = self._request, self._cache
        if request.head or trailers:
            return None
        assessment = assess(
            request.fields,
            request.directives,
            response.status,
            response.fields,
            requested=response.requested,
            received=response.received,
            rules=cache.rules,
        )
        if assessment.refusal is not None:
            return assessment.refusal
        if (content_length(response.fields) or 0) > cache.largest:
            return "too-large"
        self._assessment = assessment
        return None

    def _hidden(self, response: Response, now: float) -> bool:
        """Return whether the client has what came: its own conditions were replaced by those of the store."""
        if not self._validating or response.status != 200:
            return False
        last_modified = _first(response, b"last-modified")
        return not_modified(self._request.fields, etag=_first(response, b"etag"), last_modified=last_modified, now=now)

    async def _record(self, message: Message) -> None:
        body = message.get("body", b"")
        self._length += len(body)
        if self._length > self._cache.largest:
            self._give_up()
            return
        if body:
            self._chunks.append(bytes(body))
        if not message.get("more_body"):
            assessment, self._assessment = self._assessment, None
            response = self._response
            if assessment is None or response is None:
                return
            stated = content_length(response.fields)
            # A body cut short, or too long, is not what the application meant.
            if stated is None or stated == self._length:
                self.kept = await self._cache.keep(self._request, response, assessment, b"".join(self._chunks))
            self._land("stored" if self.kept else "private")

    def _give_up(self) -> None:
        self._assessment = None
        self._chunks.clear()
        self._land("private")

    def _land(self, ending: Ending) -> None:
        if self._flight is not None:
            self._flight.land(ending)
            if ending == "private" and self._response is not None and self._response.status not in ERRORS:
                self._cache.turned_out_private(self._request, self._response.received)


def _first(response: Response, name: bytes) -> bytes | None:
    lines = response.fields.get(name)
    return lines[0] if lines else None
