"""`POST /webhooks/{provider}`: proves the sender, reads the envelope, and answers once the event is kept.

A plain ASGI application, since what a framework would add to each request costs more than the work itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Literal

from starlette.types import Receive, Scope, Send

from roadworthy import DatabaseUnavailable, SignatureRefused
from roadworthy.http.problems import Problem, ProblemResponse
from vitals.webhooks import envelope
from vitals.webhooks.collector import Overloaded
from vitals.webhooks.envelope import PayloadRefused
from vitals.webhooks.events import NewEvent
from vitals.webhooks.providers import Provider

_READING_SECONDS = 10.0
_ACCEPTED = b'{"status":"accepted"}'

Outcome = Literal["accepted", "unauthenticated", "unreadable", "too_large", "unavailable", "unknown"]
_OUTCOME_OF: Mapping[int, Outcome] = {401: "unauthenticated", 413: "too_large", 404: "unknown", 405: "unknown"}


class Webhooks:
    """The endpoint. `providers` are found by name, `keep` returns once an event is kept, `count` notes each outcome."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        keep: Callable[[NewEvent], Awaitable[None]],
        count: Callable[[Outcome], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` is Unix time."""
        self._providers = providers
        self._keep = keep
        self._count = count
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._accept(scope, receive)
        except Problem as problem:
            self._count("unavailable" if problem.status >= 500 else _OUTCOME_OF.get(problem.status, "unreadable"))
            await ProblemResponse(problem)(scope, receive, send)
            return
        except (Exception, asyncio.CancelledError):
            # Cut off by the request's deadline, or by a sender that did not wait for longer.
            self._count("unavailable")
            raise
        self._count("accepted")
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ACCEPTED))]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": _ACCEPTED})

    async def _accept(self, scope: Scope, receive: Receive) -> None:
        """Keep the event of one request, or raise Problem."""
        if scope["method"] != "POST":
            raise Problem(405, detail="Webhooks are sent with POST.", headers={"allow": "POST"})
        provider = self._providers.get(scope["path_params"]["provider"])
        if provider is None:
            raise Problem(404, detail="No such provider sends webhooks here.")
        keys = provider.keys
        if not keys:
            raise Problem(503, detail=f"The provider's secret is not set here; set {provider.secret.spec.name}.")
        headers: dict[bytes, bytes] = dict(scope["headers"])
        _check_headers(headers)
        body = await _read(receive)
        now = self._clock()
        try:
            provider.format.verify(headers, body, keys, now=now)
            head = envelope.read(body, now=datetime.fromtimestamp(now, UTC))
        except SignatureRefused as error:
            raise Problem(401, detail=f"Not accepted: {error}.") from None
        except PayloadRefused as error:
            raise Problem(422, detail=f"Not accepted: {error}.") from None
        event = NewEvent(
            provider.name, head.event_id, head.type, head.user.reference, head.created_at.astimezone(UTC), body
        )
        try:
            await self._keep(event)
        except (Overloaded, DatabaseUnavailable, TimeoutError):
            detail = "The event could not be kept in time; send it again."
            raise Problem(503, detail=detail, headers={"retry-after": "5"}) from None


def _check_headers(headers: Mapping[bytes, bytes]) -> None:
    """Raise Problem for what need not be read to be refused."""
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise Problem(415, detail="Send the payload as application/json.")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise Problem(415, detail="Send the payload uncompressed.")


async def _read(receive: Receive) -> bytes:
    """Return the body, or raise Problem as soon as it is late."""
    parts = []
    try:
        async with asyncio.timeout(_READING_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, detail="The request ended before its body did.")
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Problem(408, detail=f"The body did not arrive within {_READING_SECONDS:.0f} s.") from None
