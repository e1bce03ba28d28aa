from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response
from hypothesis import given
from hypothesis import strategies as st

from roadworthy import Service
from roadworthy.http.headers import complete
from roadworthy.http.security_headers import DEFAULT
from roadworthy.security.content_policy import ContentPolicy, inline

SNAPSHOT = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "permissions-policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), "
        "microphone=(), midi=(), payment=(), usb=()"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "server": "",
}


def app() -> FastAPI:
    app = FastAPI()

    @app.get("/ok")
    async def ok(limit: int = 1) -> dict[str, str]:
        return {}

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError

    @app.get("/own")
    async def own(response: Response) -> dict[str, str]:
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        response.headers["Server"] = "secret/1.0"
        return {}

    return app


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ok", 200),
        ("GET", "/nothing", 404),
        ("POST", "/ok", 405),
        ("GET", "/ok?limit=x", 422),
        ("GET", "/boom", 500),
        ("GET", "/livez", 200),
        ("HEAD", "/readyz", 200),
        ("POST", "/health", 405),
    ],
)
async def test_every_response_carries_them(serve: Any, method: str, path: str, status: int) -> None:
    async with serve(app()) as running:
        response = await running.client.request(method, path)
    assert response.status_code == status
    standing = ("content-length", "content-type", "x-request-id", "cache-control", "allow")
    assert {name: value for name, value in response.headers.items() if name not in standing} == SNAPSHOT


async def test_what_the_application_set_is_not_overwritten(serve: Any) -> None:
    async with serve(app()) as running:
        response = await running.client.get("/own")
    assert response.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert response.headers.get_list("x-frame-options") == ["SAMEORIGIN"]
    assert response.headers.get_list("server") == [""]


@pytest.mark.parametrize(
    ("scheme", "headers", "strict"),
    [("http", {}, False), ("https", {}, True), ("http", {"x-forwarded-proto": "https"}, True)],
)
async def test_strict_transport_is_for_https(serve: Any, scheme: str, headers: dict[str, str], strict: bool) -> None:
    async with serve(app()) as running:
        transport = httpx.ASGITransport(running.stack)
        async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://tested") as client:
            response = await client.get("/ok", headers=headers)
    assert ("strict-transport-security" in response.headers) is strict


async def test_a_declaration_replaces_the_defaults(serve: Any) -> None:
    service = Service("tested")
    policy = ContentPolicy(script=("self", inline("go()")), frame_ancestors=("self",))
    service.browsers(content=policy, permissions={"camera": ("self", "https://call.example")}, https=True)
    async with serve(app(), service) as running:
        response = await running.client.get("/boom")
    assert "script-src 'self' 'sha256-" in response.headers["content-security-policy"]
    assert response.headers["x-frame-options"] == "SAMEORIGIN"
    assert 'camera=(self "https://call.example"), ' in response.headers["permissions-policy"]
    assert response.headers["strict-transport-security"] == "max-age=63072000"


async def test_a_stream_of_events_carries_them(serve: Any) -> None:
    async def stream(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\n"})

    async with serve(stream) as running:
        response = await running.client.get("/")
    assert SNAPSHOT.items() <= dict(response.headers).items()


names = st.sampled_from([b"server", b"x-frame-options", b"set-cookie", b"etag", b"connection"])


@given(st.lists(st.tuples(names, st.binary(max_size=5))), st.booleans())
def test_the_applications_headers_stay_in_order_and_ours_are_each_once(given_: Any, https: bool) -> None:
    ours = list(DEFAULT.strict if https else DEFAULT.plain)
    completed = complete(given_, ours)
    kept = [header for header in given_ if header[0] != b"server"]
    assert completed[: len(kept)] == kept
    assert len({name for name, _ in completed[len(kept) :]}) == len(completed) - len(kept)
    assert {name.encode() for name in SNAPSHOT} <= {name for name, _ in completed}
