"""Errors as RFC 9457 problem details: the application's own, and whatever it let escape.

An exception that nobody handled becomes a 500 that tells the request's id and nothing of the inside, and one log line
with the traceback. A database or a dependency that is away is no fault of the code's: that is a 503, or a 504 for an
answer that did not come in time, and a log line without one. A response that has already begun cannot be taken back:
the exception goes on to the server, which breaks the connection off, so that the client does not take a part for the
whole.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from roadworthy.database import driver
from roadworthy.errors import DatabaseUnavailable, DeadlineExceeded, DependencyFailed, KeyRefused, RateLimited
from roadworthy.http.asgi import ASGIApp, Receive, Scope, Send
from roadworthy.http.denials import Denials
from roadworthy.http.exchange import Exchange
from roadworthy.http.identity import REQUEST_ID
from roadworthy.limits.decision import Decision
from roadworthy.limits.headers import QUOTA_EXCEEDED, legacy, policy, policy_name, remaining, seconds_until
from roadworthy.telemetry.logging import get_logger

CONTENT_TYPE = b"application/problem+json"

_RETRY_AFTER = 5

Report = Callable[[BaseException, str], object]

_log = get_logger(__name__)
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Problem(Exception):
    """Raise it to answer a request with problem details.

    `title` is by default the status's own phrase; `detail` is for the caller to read; `type` is a URI that names the
    kind of problem; `headers` go with the response; `extra` are members of the document.
    """

    def __init__(
        self,
        status: int,
        title: str | None = None,
        detail: str | None = None,
        *,
        type: str = "about:blank",
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        self.status = status
        self.title = title or _phrase(status)
        self.detail = detail
        self.type = type
        self.headers = dict(headers or {})
        self.extra = extra
        super().__init__(f"{status} {self.title}" + (f": {detail}" if detail else ""))

    def document(self, request_id: str | None) -> dict[str, Any]:
        """Return the members of the problem details object."""
        members: dict[str, Any] = {"type": self.type, "title": self.title, "status": self.status}
        if self.detail is not None:
            members["detail"] = self.detail
        if request_id is not None:
            members["request_id"] = request_id
        return self.extra | members


def unavailable(error: Exception) -> Problem:
    """Return the answer to a request whose database is away, having logged why."""
    _log.warning("database unavailable", reason=str(error))
    return Problem(503, detail="The service cannot reach its database; try again.", headers={"retry-after": "5"})


def refused(error: KeyRefused) -> Problem:
    """Return the answer to a request whose API key will not do."""
    headers = {"www-authenticate": error.challenge, "cache-control": "no-store"}
    return Problem(error.status, detail=str(error), headers=headers)


def unanswered(error: DependencyFailed) -> Problem:
    """Return the answer to a request for which a dependency was not called, or did not answer, having logged why."""
    _log.warning("dependency failed", dependency=error.dependency, error=type(error).__name__, reason=str(error))
    if isinstance(error, DeadlineExceeded):
        return Problem(504, detail="Something that the service depends on did not answer in time; try again.")
    wait = _RETRY_AFTER if error.retry_after is None else max(math.ceil(error.retry_after), 1)
    detail = "Something that the service depends on is not asked at the moment; try again."
    return Problem(503, detail=detail, headers={"retry-after": str(wait)})


def exceeded(decision: Decision, drawn: float | None = None, now: float | None = None) -> Problem:
    """Return the answer to a request that a rate limit denies.

    `drawn`, from 0 to 1, draws out the time after which to come back; `now`, in Unix time, asks for X-RateLimit-* too.
    """
    seconds = seconds_until(decision, random.random() if drawn is None else drawn)  # nosec B311  # spreads clients out, no secret
    name = policy_name(decision.limit, decision.index)
    headers = {
        "ratelimit": remaining(decision, seconds),
        "ratelimit-policy": policy(decision.limit, decision.index, decision.quota),
        "cache-control": "no-store",
    }
    detail = "This is never admitted at once; ask for less."
    if seconds is not None:
        headers["retry-after"] = str(seconds)
        detail = f"The quota {name!r} is used up; try again in {seconds} s."
    if now is not None:
        headers |= {field.decode(): value.decode() for field, value in legacy(decision, seconds, now)}
    title = "Quota Exceeded"
    return Problem(429, title, detail, type=QUOTA_EXCEEDED, headers=headers, **{"violated-policies": [name]})


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _problem_of(error: Problem | DatabaseUnavailable | KeyRefused | DependencyFailed | RateLimited) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RateLimited):
        return exceeded(error.decision)
    if isinstance(error, DependencyFailed):
        return unanswered(error)
    return refused(error) if isinstance(error, KeyRefused) else unavailable(error)


_EXPECTED = (Problem, DatabaseUnavailable, KeyRefused, DependencyFailed, RateLimited)


class ProblemResponse:
    """An ASGI application that answers with one problem; frameworks take it for a response."""

    def __init__(self, problem: Problem) -> None:
        """Answer with `problem`."""
        self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, to a WebSocket's handshake too."""
        problem = self._problem
        body = b""
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in problem.headers.items()]
        if problem.status not in (204, 304):
            body = _encode(problem.document(scope.get(REQUEST_ID)))
            headers += [(b"content-type", CONTENT_TYPE), (b"content-length", str(len(body)).encode())]
        prefix = "websocket.http" if scope["type"] == "websocket" else "http"
        if scope.get("method") == "HEAD":
            body = b""
        await send({"type": f"{prefix}.response.start", "status": problem.status, "headers": headers})
        await send({"type": f"{prefix}.response.body", "body": body})


async def answer_handshake(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket's handshake with a problem, or with a bare 403 where the server cannot send one."""
    await ProblemResponse(problem)(scope, receive, Denials(scope, send))


class Problems:
    """The layer that answers for whatever the application lets escape."""

    def __init__(self, app: ASGIApp, report: Report | None = None) -> None:
        """Answer for `app`; `report` is told of what nobody handled, and of the method that was asked for."""
        self._app = app
        self._report = report

    async def __call__(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        """Answer one request."""
        try:
            await self._app(scope, receive, exchange)
        except _EXPECTED as error:
            if exchange.status is not None:
                await self._failed(scope, receive, exchange)
                return
            await ProblemResponse(_problem_of(error))(scope, receive, exchange)
        except driver.CUT as error:
            if exchange.status is not None or not driver.was_cut(error):
                await self._failed(scope, receive, exchange)
                return
            await ProblemResponse(unavailable(error))(scope, receive, exchange)
        except Exception:
            await self._failed(scope, receive, exchange)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket; answer or close it for what is no fault, log the rest and let the server close it."""
        sending = Denials(scope, send)
        try:
            await self._app(scope, receive, sending)
        except OSError:
            raise
        except _EXPECTED as error:
            if not sending.closed:
                await ProblemResponse(_problem_of(error))(scope, receive, sending)
        except Exception:
            _log.exception("unhandled exception", method="WEBSOCKET", path=scope["path"])
            self._tell("WEBSOCKET")
            raise

    def _tell(self, method: str) -> None:
        error = sys.exc_info()[1]
        if self._report is not None and error is not None:
            self._report(error, method)

    async def _failed(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        """Log the exception that is being handled, and answer, or break off what was begun."""
        if exchange.disconnected:
            return
        exchange.failed = True
        _log.exception("unhandled exception", method=scope["method"], path=scope["path"])
        self._tell(scope["method"])
        if exchange.status is None:
            await ProblemResponse(Problem(500))(scope, receive, exchange)
        elif not exchange.complete:
            raise
