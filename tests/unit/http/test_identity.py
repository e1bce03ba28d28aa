from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.http.identity import sane_request_id, trace_of
from roadworthy.telemetry.logging import CONTEXT

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@given(st.binary(max_size=200))
def test_an_id_that_is_repeated_can_break_no_line_and_no_header(value: bytes) -> None:
    kept = sane_request_id(value)
    if kept is not None:
        assert kept.encode() == value
        assert re.fullmatch(r"[A-Za-z0-9._=:;@+/-]{1,128}", kept)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True))
def test_usual_ids_are_kept(value: str) -> None:
    assert sane_request_id(value.encode()) == value


@pytest.mark.parametrize("value", [b"", b"a b", b"a\r\nx: y", b"a" * 129, b'a"b', b"<b>", b"\xc3\xa9", b"-a"])
def test_other_ids_are_not(value: bytes) -> None:
    assert sane_request_id(value) is None


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_every_valid_trace_is_kept(trace: int, span: int, flags: int) -> None:
    assert trace_of(f"00-{trace:032x}-{span:016x}-{flags:02x}".encode()) == f"{trace:032x}"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        PARENT.upper().encode(),
        f"00-{'0' * 32}-00f067aa0ba902b7-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"ff-{TRACE}-00f067aa0ba902b7-01".encode(),
        f"{PARENT}-extra".encode(),
        f"{PARENT} ".encode(),
        f"01-{TRACE}-00f067aa0ba902b7-01x".encode(),
    ],
)
def test_an_invalid_trace_is_not(value: bytes) -> None:
    assert trace_of(value) is None


def test_a_later_version_may_carry_more() -> None:
    assert trace_of(f"01-{TRACE}-00f067aa0ba902b7-01-more".encode()) == TRACE


def asking() -> tuple[Any, list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ids = {key.removeprefix("roadworthy."): value for key, value in scope.items() if key.startswith("roadworthy.")}
        seen.append({**ids, "context": dict(CONTEXT.get({}))})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app, seen


async def test_the_callers_ids_are_kept_and_echoed(serve: Any) -> None:
    app, seen = asking()
    async with serve(app) as running:
        headers = {"x-request-id": "caller-7", "traceparent": PARENT, "tracestate": "vendor=1"}
        response = await running.client.get("/", headers=headers)
    assert response.headers["x-request-id"] == "caller-7"
    assert seen == [
        {
            "request_id": "caller-7",
            "traceparent": PARENT,
            "tracestate": "vendor=1",
            "context": {"request_id": "caller-7", "trace_id": TRACE},
        }
    ]


async def test_ids_are_made_where_none_or_bad_ones_came(serve: Any) -> None:
    app, seen = asking()
    async with serve(app) as running:
        await running.client.get("/")
        bad = {"x-request-id": "a b", "traceparent": "00-bad", "tracestate": "vendor=1"}
        response = await running.client.get("/", headers=bad)
    ids = [one["request_id"] for one in seen]
    assert len(set(ids)) == 2
    assert response.headers["x-request-id"] == ids[1]
    for one in seen:
        trace = trace_of(one["traceparent"].encode())
        assert trace is not None
        assert one["context"] == {"request_id": one["request_id"], "trace_id": trace}
        assert "tracestate" not in one
    assert CONTEXT.get({}) == {}


async def test_a_trace_is_kept_where_the_request_id_is_made(serve: Any) -> None:
    app, seen = asking()
    async with serve(app) as running:
        await running.client.get("/", headers={"traceparent": PARENT})
    assert seen[0]["traceparent"] == PARENT
    assert seen[0]["context"]["trace_id"] == TRACE


async def test_the_applications_own_request_id_is_left_alone(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"its-own")]})
        await send({"type": "http.response.body", "body": b""})

    async with serve(app) as running:
        response = await running.client.get("/")
    assert response.headers.get_list("x-request-id") == ["its-own"]


async def test_a_websocket_has_ids_in_its_log_lines(serve: Any) -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(CONTEXT.get({})))

    async with serve(app) as running:
        await running.stack({"type": "websocket", "path": "/", "headers": [(b"x-request-id", b"w")]}, None, None)
    assert seen[0]["request_id"] == "w"
    assert len(seen[0]["trace_id"]) == 32
