from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
import structlog
from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import PlainTextResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import Request
from starlette.routing import Route
from starlette.websockets import WebSocket

from roadworthy.errors import BreakerOpen, BulkheadFull, DatabaseUnavailable, DeadlineExceeded
from roadworthy.http.frameworks import register_problems
from roadworthy.http.problems import Problem, ProblemResponse


@pytest.fixture
def logged() -> Any:
    with structlog.testing.capture_logs() as lines:
        yield lines


def failing() -> FastAPI:
    app = FastAPI()

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("the password is hunter2")

    @app.get("/away")
    async def away() -> None:
        raise DatabaseUnavailable("PostgreSQL at postgresql://u@db/x cannot be used")

    @app.get("/problem")
    async def problem() -> None:
        raise Problem(
            409, "Taken", "That name is taken.", type="https://x/taken", headers={"Retry-After": "5"}, name="a"
        )

    @app.get("/http")
    async def http() -> None:
        raise HTTPException(404, "No such page.", headers={"X-Page": "none"})

    @app.get("/structured")
    async def structured() -> None:
        raise HTTPException(400, {"reason": "both"})

    @app.get("/unchanged")
    async def unchanged() -> None:
        raise HTTPException(304, headers={"ETag": '"1"'})

    @app.get("/valid")
    async def valid(limit: int = Query(le=10)) -> None:
        raise AssertionError

    @app.websocket("/denied")
    async def denied(websocket: WebSocket) -> None:
        raise HTTPException(403)

    return app


async def test_an_unhandled_error_tells_its_id_and_nothing_else(serve: Any, logged: list[dict[str, Any]]) -> None:
    async with serve(failing()) as running:
        response = await running.client.get("/boom?token=t", headers={"x-request-id": "r-1"})
        assert running.counted() == {("GET", "/boom", "500"): 1}
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "request_id": "r-1",
    }
    assert [(line["event"], line["path"], line["exc_info"]) for line in logged] == [
        ("unhandled exception", "/boom", True)
    ]


async def test_the_same_where_the_app_is_no_framework(serve: Any, logged: list[dict[str, Any]]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise Problem(410) if scope["path"] == "/gone" else RuntimeError("hunter2")

    async with serve(app) as running:
        response = await running.client.get("/")
        assert response.status_code == 500
        assert "hunter2" not in response.text
        assert len(logged) == 1
        gone = await running.client.get("/gone")
        assert gone.json() == {
            "type": "about:blank",
            "title": "Gone",
            "status": 410,
            "request_id": gone.headers["x-request-id"],
        }
        assert len(logged) == 1


@pytest.mark.parametrize("framework", [True, False])
async def test_a_database_that_is_away_is_503_without_a_traceback(
    serve: Any, logged: list[dict[str, Any]], framework: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise DatabaseUnavailable("PostgreSQL at postgresql://u@db/x cannot be used")

    async with serve(failing() if framework else app) as running:
        response = await running.client.get("/away")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json()["title"] == "Service Unavailable"
    assert "postgresql" not in response.text
    assert [(line["event"], line["log_level"]) for line in logged] == [("database unavailable", "warning")]
    assert "exc_info" not in logged[0]


@pytest.mark.parametrize("framework", [True, False])
@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (BreakerOpen("breaker 'secretary' is open", "secretary", 7.2), 503, "8"),
        (BreakerOpen("breaker 'secretary' is open", "secretary", 0.0), 503, "1"),
        (BulkheadFull("secretary is busy", "secretary"), 503, "5"),
        (DeadlineExceeded("secretary did not answer", "secretary"), 504, None),
    ],
)
async def test_a_dependency_that_is_away_is_503_or_504_and_is_not_named(
    serve: Any, logged: list[dict[str, Any]], framework: bool, error: Exception, status: int, retry_after: str | None
) -> None:
    app: Any = FastAPI()

    @app.get("/")
    async def away() -> None:
        raise error

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        raise error

    async with serve(app if framework else plain) as running:
        response = await running.client.get("/")
    assert (response.status_code, response.headers.get("retry-after")) == (status, retry_after)
    assert response.headers["content-type"] == "application/problem+json"
    assert "secretary" not in response.text
    assert [(line["event"], line["dependency"]) for line in logged] == [("dependency failed", "secretary")]
    assert "exc_info" not in logged[0]


async def test_a_problem_is_answered_as_raised(serve: Any) -> None:
    async with serve(failing()) as running:
        response = await running.client.get("/problem")
    assert response.status_code == 409
    assert response.headers["retry-after"] == "5"
    assert response.json() == {
        "type": "https://x/taken",
        "title": "Taken",
        "status": 409,
        "detail": "That name is taken.",
        "name": "a",
        "request_id": response.headers["x-request-id"],
    }


async def test_the_frameworks_own_errors_are_problems_too(serve: Any) -> None:
    async with serve(failing()) as running:
        http = await running.client.get("/http")
        structured = await running.client.get("/structured")
        unchanged = await running.client.get("/unchanged")
        missing = await running.client.get("/nothing")
        wrong = await running.client.post("/http")
    assert (http.json()["status"], http.json()["detail"], http.headers["x-page"]) == (404, "No such page.", "none")
    assert structured.json()["errors"] == {"reason": "both"}
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", '"1"')
    assert "content-type" not in unchanged.headers
    assert (missing.json()["title"], "detail" in missing.json()) == ("Not Found", False)
    assert (wrong.json()["status"], wrong.headers["allow"]) == (405, "GET")


async def test_an_invalid_request_is_told_what_and_where_but_not_its_values(serve: Any) -> None:
    async with serve(failing()) as running:
        response = await running.client.get("/valid?limit=hunter2")
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["location"] == ["query", "limit"]
    assert error["type"] == "int_parsing"
    assert "hunter2" not in response.text


async def test_a_denied_websocket_gets_a_problem(serve: Any) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async with serve(failing()) as running:
        scope = {"type": "websocket", "path": "/denied", "headers": [], "query_string": b"", "subprotocols": []}
        await running.stack({**scope, "extensions": {"websocket.http.response": {}}}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 403


async def test_handlers_of_the_application_are_left_alone(serve: Any) -> None:
    async def own(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("its own", 500)

    app = failing()
    for key in (Exception, StarletteHTTPException, Problem):
        app.add_exception_handler(key, own)
    async with serve(app) as running:
        for path in ("/boom", "/http", "/problem"):
            assert (await running.client.get(path)).text == "its own"

    by_status = Starlette(routes=[Route("/", lambda request: 1 / 0)], exception_handlers={500: own})
    async with serve(by_status) as running:
        assert (await running.client.get("/")).text == "its own"


async def test_starlette_alone(serve: Any) -> None:
    async def forbidden(request: Request) -> None:
        raise StarletteHTTPException(403, "Not yours.")

    async with serve(Starlette(routes=[Route("/", forbidden)])) as running:
        response = await running.client.get("/")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == "Not yours."


def test_what_takes_no_handlers_is_left_alone() -> None:
    plain = SimpleNamespace(state="its own")
    register_problems(plain)
    assert vars(plain) == {"state": "its own"}


@pytest.mark.parametrize("error", [RuntimeError("late"), Problem(400)])
async def test_a_response_that_began_is_broken_off(serve: Any, logged: list[Any], error: Exception) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise error

    async with serve(app) as running:
        with pytest.raises(type(error)):
            await running.client.get("/")
        assert running.counted() == {("GET", "__unmatched__", "500"): 1}
    assert [line["event"] for line in logged] == ["unhandled exception"]


async def test_an_error_after_the_response_is_logged_and_ends_there(serve: Any, logged: list[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"whole"})
        raise RuntimeError("a background task")

    async with serve(app) as running:
        assert (await running.client.get("/")).text == "whole"
        assert running.counted() == {("GET", "__unmatched__", "200"): 1}
    assert len(logged) == 1


async def test_a_client_that_went_away_is_no_error(serve: Any, logged: list[Any]) -> None:
    async def gone(message: Any) -> None:
        raise OSError("gone")

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async with serve(failing()) as running:
        scope = {"type": "http", "method": "GET", "path": "/problem", "headers": [], "query_string": b""}
        await running.stack(scope, nothing, gone)
    assert logged == []


def test_a_problem_reads_as_text() -> None:
    assert str(Problem(404)) == "404 Not Found"
    assert str(Problem(418, detail="Short and stout.")) == "418 I'm a Teapot: Short and stout."
    assert Problem(599).title == "Error"
    assert Problem(400, status_note="x").document(None)["status"] == 400


async def test_a_head_request_gets_no_body() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await ProblemResponse(Problem(404))({"type": "http", "method": "HEAD"}, None, send)  # type: ignore[arg-type]
    assert dict(sent[0]["headers"])[b"content-length"] != b"0"
    assert sent[1]["body"] == b""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"), 503),
        (asyncpg.InterfaceError("the underlying connection is closed"), 503),
        (asyncpg.InternalClientError("got result for unknown protocol state 3"), 503),
        (asyncpg.InterfaceError("cannot perform operation: another operation is in progress"), 500),
        (asyncpg.UniqueViolationError("duplicate key"), 500),
    ],
)
@pytest.mark.parametrize("framework", [True, False])
async def test_a_statement_whose_connection_breaks_is_no_defect(
    serve: Any, logged: Any, framework: bool, error: Exception, status: int
) -> None:
    async def plain(scope: Any, receive: Any, send: Any) -> None:
        raise error

    app: Any = plain
    if framework:
        app = FastAPI()

        @app.get("/")
        async def endpoint() -> None:
            raise error

    async with serve(app) as running:
        running.client._transport.raise_app_exceptions = False
        answer = await running.client.get("/")
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) is (status == 503)
