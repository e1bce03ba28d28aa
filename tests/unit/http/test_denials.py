"""What a WebSocket is told whose handler meets a limit, or cannot go on: before it was accepted, and after."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from fastapi import FastAPI, HTTPException
from starlette.websockets import WebSocket

from roadworthy.errors import BreakerOpen, DatabaseUnavailable, RateLimited
from roadworthy.http.problems import Problem
from roadworthy.limits.decision import Decision
from roadworthy.limits.quota import Quota

LIMITED = RateLimited(Decision(False, "api", Quota.parse("5/minute"), 0, 0, 4.0, 60.0, "memory"))
RESPONSES = {"websocket.http.response": {}}


def framework(error: Exception, *, accepted: bool) -> Any:
    app = FastAPI()

    @app.websocket("/talk")
    async def talk(websocket: WebSocket) -> None:
        if accepted:
            await websocket.accept()
        raise error

    return app


def plain(error: Exception, *, accepted: bool) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if accepted:
            await send({"type": "websocket.accept"})
        raise error

    return app


async def connected(serve: Any, app: Any, extensions: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a client gets that connects."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async with serve(app) as running:
        scope = {"type": "websocket", "path": "/talk", "headers": [], "query_string": b"", "subprotocols": []}
        await running.stack({**scope, "extensions": extensions}, receive, send)
    return sent


@pytest.fixture
def logged() -> Any:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.mark.parametrize("make", [framework, plain])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LIMITED, 429),
        (DatabaseUnavailable("it is away"), 503),
        (BreakerOpen("it is open", "bank", 3.0), 503),
        (Problem(403), 403),
    ],
    ids=["limited", "database", "dependency", "problem"],
)
async def test_before_it_is_accepted_it_is_answered(
    serve: Any, logged: Any, make: Any, error: Any, status: int
) -> None:
    start, body = await connected(serve, make(error, accepted=False), RESPONSES)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
    assert body["type"] == "websocket.http.response.body"
    assert (b"retry-after" in dict(start["headers"])) is (status in (429, 503))
    assert await connected(serve, make(error, accepted=False), {}) == [{"type": "websocket.close", "code": 1008}]
    assert "unhandled exception" not in [line["event"] for line in logged]


@pytest.mark.parametrize("make", [framework, plain])
@pytest.mark.parametrize("extensions", [{}, RESPONSES])
@pytest.mark.parametrize(
    ("error", "code"),
    [(LIMITED, 1013), (DatabaseUnavailable("it is away"), 1013), (Problem(403), 1008), (Problem(500), 1011)],
    ids=["limited", "database", "problem", "fault"],
)
async def test_after_it_is_accepted_it_is_closed_with_a_code(
    serve: Any, logged: Any, make: Any, extensions: Any, error: Any, code: int
) -> None:
    accepted, closed = await connected(serve, make(error, accepted=True), extensions)
    assert accepted["type"] == "websocket.accept"
    assert (closed["type"], closed["code"]) == ("websocket.close", code)
    assert closed["reason"]
    assert "unhandled exception" not in [line["event"] for line in logged]


async def test_one_that_was_closed_already_is_told_nothing_more(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})
        raise LIMITED

    assert [message.get("code") for message in await connected(serve, app, RESPONSES)] == [None, 1000]


async def test_what_the_framework_refuses_after_the_acceptance_closes_it_too(serve: Any) -> None:
    sent = await connected(serve, framework(HTTPException(599), accepted=True), RESPONSES)
    assert sent[1] == {"type": "websocket.close", "code": 1011, "reason": ""}


async def test_a_fault_is_still_the_servers_to_close(serve: Any, logged: Any) -> None:
    with pytest.raises(ArithmeticError):
        await connected(serve, plain(ArithmeticError("a defect"), accepted=True), RESPONSES)
    assert [line["event"] for line in logged] == ["unhandled exception"]
