"""What is refused before anything looks at it, and what is ended when its time is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, StreamingResponse

from roadworthy import Service, time_left
from roadworthy.duration import seconds
from roadworthy.http.problems import Problem
from roadworthy.security.bounds import HEADER_BYTES, HEADER_FIELDS


class Item(BaseModel):
    name: str


def app() -> FastAPI:
    app = FastAPI()

    @app.post("/items")
    async def add(item: Item) -> dict[str, str]:
        return {"name": item.name}

    @app.post("/raw/{name}")
    async def raw(name: str, request: Request) -> int:
        return len(await request.body())

    @app.post("/careless")
    async def careless(request: Request) -> str:
        try:
            await request.body()
        except Exception:
            return "I do not care"
        return "all of it"

    @app.get("/slow")
    async def slow(by: float = 30) -> str:
        await asyncio.sleep(by)
        return "done"

    @app.get("/stubborn")
    async def stubborn() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        return "late"

    @app.get("/download")
    async def download() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b"part"
                await asyncio.sleep(0.03)

        return StreamingResponse(parts())

    return app


async def chunks(size: int, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


@pytest.mark.parametrize("path", ["/raw/a", "/careless", "/items"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_long(serve: Any, path: str, chunked: bool) -> None:
    content = chunks(100_000, 11) if chunked else b"x" * 1_100_000
    headers = {"content-type": "application/octet-stream" if path != "/items" else "application/json"}
    async with serve(app()) as running:
        response = await running.client.post(path, content=content, headers=headers)
    assert response.status_code == 413
    assert response.json()["detail"] == "The body is longer than 1,048,576 bytes."
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_an_application_may_say_it_in_its_own_form(serve: Any) -> None:
    wrapped = app()

    @wrapped.exception_handler(Problem)
    async def show(_request: Request, problem: Problem) -> PlainTextResponse:
        return PlainTextResponse(f"Shorten it. {problem.detail}", status_code=problem.status)

    async with serve(wrapped) as running:
        response = await running.client.post("/raw/a", content=b"x" * 1_100_000)
    assert (response.status_code, response.text[:11]) == (413, "Shorten it.")


async def test_a_body_that_is_announced_too_long_is_not_read(serve: Any) -> None:
    asked = 0

    async def receive() -> Any:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": b"", "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", b"9" * 30), (b"host", b"a")]
    scope = {"type": "http", "method": "POST", "path": "/raw/a", "query_string": b"", "headers": headers}
    async with serve(app()) as running:
        await running.stack(scope, receive, send)
    assert sent[0]["status"] == 413
    assert asked == 0


async def test_a_body_that_just_fits(serve: Any) -> None:
    async with serve(app()) as running:
        for content in (b"x" * 1024 * 1024, chunks(1024, 1024)):
            assert (await running.client.post("/raw/a", content=content)).text == "1048576"


async def test_a_route_has_bounds_of_its_own(serve: Any) -> None:
    service = Service("tested")
    service.bounds(body=10, depth=2)
    service.bounds("POST /raw/{name}", body=100)
    async with serve(app(), service) as running:
        post = running.client.post
        assert (await post("/raw/a", content=b"x" * 100)).status_code == 200
        assert (await post("/raw/a", content=b"x" * 101)).status_code == 413
        assert (await post("/careless", content=b"x" * 11)).status_code == 413
        nested = {"content": b"[[[]]]", "headers": {"content-type": "application/json"}}
        assert (await post("/raw/a", **nested)).status_code == 422


@pytest.mark.parametrize(("depth", "refused"), [(63, False), (64, True), (100_000, True)])
async def test_json_is_nested_only_so_deep(serve: Any, depth: int, refused: bool) -> None:
    body = b'{"name": ' + b"[" * depth + b"]" * depth + b"}"
    async with serve(app()) as running:
        for content in (body, one_by_one(body)):
            response = await running.client.post(
                "/items", content=content, headers={"content-type": "application/merge-patch+json"}
            )
            assert response.status_code == 422
            assert (response.json()["detail"] == "The JSON is nested more than 64 levels deep.") is refused


async def one_by_one(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


async def test_brackets_in_strings_are_no_nesting(serve: Any) -> None:
    content = json.dumps({"name": "[" * 500 + '"' + "{" * 500}).encode()
    async with serve(app()) as running:
        response = await running.client.post("/items", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({f"x-{number}": "1" for number in range(HEADER_FIELDS)}, 431),
        ({"x-long": "x" * HEADER_BYTES}, 431),
        ({"x-long": "x" * (HEADER_BYTES - 500)}, 404),
    ],
)
async def test_header_fields_are_few_and_short(serve: Any, headers: dict[str, str], status: int) -> None:
    async with serve(app()) as running:
        response = await running.client.get("/nowhere", headers=headers)
        twice = await running.client.get("/nowhere", headers=[*headers.items(), ("cookie", "a=1"), ("cookie", "b=2")])
    assert response.status_code == status
    assert twice.status_code == status
    assert response.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("api.example.org", 404),
        ("API.Example.org:8443", 404),
        ("a.b.shop.example", 404),
        ("shop.example", 400),
        ("evilshop.example", 400),
        ("evil.example", 400),
        ("api.example.org.evil.example", 400),
        ("api.example.org@evil.example", 400),
        ("evil.example/.shop.example", 400),
        ("[::1]:80", 404),
        ("[::2]:80", 400),
        ("", 400),
    ],
)
async def test_hosts(serve: Any, host: str, status: int) -> None:
    service = Service("tested")
    service.hosts("api.example.org", "*.shop.example", "[::1]")
    async with serve(app(), service) as running:
        response = await running.client.get("/nowhere", headers={"host": host})
        assert response.status_code == status
        # Probes come by address.
        assert (await running.client.get("/livez", headers={"host": host})).status_code == 200


async def test_two_hosts_are_none(serve: Any) -> None:
    service = Service("tested")
    service.hosts("a.example")
    async with serve(app(), service) as running:
        headers = [("host", "a.example"), ("host", "a.example")]
        assert (await running.client.get("/nowhere", headers=headers)).status_code == 400


async def test_a_handler_that_is_late_is_cancelled(serve: Any) -> None:
    service = Service("tested")
    service.bounds("GET /slow", deadline=seconds(0.05))
    async with serve(app(), service) as running:
        late = await running.client.get("/slow")
        in_time = await running.client.get("/slow", params={"by": 0})
    assert (late.status_code, late.json()["detail"]) == (504, "The service did not answer within 0.05 s.")
    assert late.headers["x-frame-options"] == "DENY"
    assert in_time.status_code == 200
    assert running.counted()[("GET", "/slow", "504")] == 1


async def test_a_handler_that_does_not_heed_it_is_answered_for_all_the_same(serve: Any) -> None:
    service = Service("tested")
    service.bounds(deadline=seconds(0.05))
    async with serve(app(), service) as running:
        assert (await running.client.get("/stubborn")).status_code in (200, 504)
        # The cancellation does not reach what comes after.
        await asyncio.sleep(0)


async def test_what_has_begun_goes_on(serve: Any) -> None:
    service = Service("tested")
    service.bounds(deadline=seconds(0.05))
    async with serve(app(), service) as running:
        assert (await running.client.get("/download")).text == "part" * 5


async def test_no_deadline(serve: Any) -> None:
    service = Service("tested")
    service.bounds(deadline=seconds(0.02))
    service.bounds("GET /slow", deadline=seconds(0))
    async with serve(app(), service) as running:
        assert (await running.client.get("/slow", params={"by": 0.06})).status_code == 200


async def test_a_body_that_does_not_come_in_time(serve: Any) -> None:
    service = Service("tested")
    service.bounds(deadline=seconds(0.05))

    async def trickle() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(5)
        yield b"x"

    async with serve(app(), service) as running:
        response = await running.client.post("/raw/a", content=trickle())
    assert response.status_code == 408


async def test_whoever_else_cancels_a_request_is_heeded(serve: Any) -> None:
    async with serve(app()) as running:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await running.client.get("/slow")


async def test_many_late_ones_end_in_their_order_and_none_is_kept(serve: Any) -> None:
    service = Service("tested")
    service.bounds(deadline=seconds(0.05))
    async with serve(app(), service) as running, asyncio.TaskGroup() as group:
        asked = []
        for _ in range(20):
            asked.append(group.create_task(running.client.get("/slow")))
            await asyncio.sleep(0.005)
    assert {task.result().status_code for task in asked} == {504}
    line = running.stack._guarding._deadlines.line(0.05)
    assert (len(line._waiting), len(line._expired)) == (0, 0)


async def test_a_websocket_of_a_strange_host_is_closed() -> None:
    service = Service("tested")
    service.hosts("a.example")
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def never(*_: Any) -> None:
        raise AssertionError

    stack = service.install(never)
    await stack({"type": "websocket", "path": "/", "headers": [(b"host", b"evil.example")]}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_a_caller_says_how_long_it_waits(serve: Any) -> None:
    plain, left = FastAPI(), []

    @plain.get("/")
    async def read() -> None:
        left.append(time_left())

    async with serve(plain) as running:
        for headers in ({}, {"X-Request-Timeout-Ms": "1500"}, {"X-Request-Timeout-Ms": "soon"}):
            # A context of its own, as a server gives each request.
            await asyncio.create_task(running.client.get("/", headers=headers))
    assert left[0] is None
    assert timedelta(0) < left[1] <= timedelta(seconds=1.5)
    assert left[2] is None
