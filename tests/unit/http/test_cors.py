"""CORS: who may read, on errors too; nobody is reflected."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from roadworthy import Service
from roadworthy.errors import DeclarationError
from roadworthy.security.cross_origin import CorsSpec, Origins

APP = "https://app.example"


def app() -> FastAPI:
    app = FastAPI()

    @app.get("/api/ok")
    async def ok(limit: int = 1) -> int:
        return limit

    @app.get("/api/boom")
    async def boom() -> None:
        raise RuntimeError

    @app.get("/pages")
    async def pages() -> str:
        return "page"

    return app


def service(**options: Any) -> Service:
    declared = Service("tested")
    declared.cors(APP, "https://*.partner.example", path="/api", credentials=True, **options)
    return declared


def fields(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize(
    ("path", "status"), [("/api/ok", 200), ("/api/none", 404), ("/api/ok?limit=x", 422), ("/api/boom", 500)]
)
async def test_a_declared_origin_may_read_errors_too(serve: Any, path: str, status: int) -> None:
    async with serve(app(), service(expose=("X-Total",))) as running:
        response = await running.client.get(path, headers={"origin": APP})
    assert response.status_code == status
    assert fields(response) == {
        "access-control-allow-origin": APP,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "X-Total",
    }
    assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://app.example",
        "https://app.example.evil.example",
        "https://app.example:8443",
        "https://partner.example",
        "https://evilpartner.example",
        "https://a.partner.example.evil.example",
        "https://evil.example/.partner.example",
        "HTTPS://APP.EXAMPLE",
        "",
    ],
)
async def test_nobody_else_is_told_anything(serve: Any, origin: str) -> None:
    async with serve(app(), service()) as running:
        for headers in ({"origin": origin}, {"origin": origin, "cookie": "session=1"}):
            response = await running.client.get("/api/ok", headers=headers)
            assert fields(response) == {}
            assert response.headers["vary"] == "Origin"
        preflight = {"origin": origin, "access-control-request-method": "GET"}
        response = await running.client.options("/api/ok", headers=preflight)
        assert (response.status_code, fields(response)) == (403, {})


async def test_a_preflight_is_answered_before_the_application(serve: Any) -> None:
    async with serve(app(), service(headers=("X-Key", "Authorization"))) as running:
        asked = {
            "origin": "https://a.b.partner.example",
            "access-control-request-method": "PUT",
            "access-control-request-headers": "x-key, AUTHORIZATION,content-type",
        }
        response = await running.client.options("/api/nowhere", headers=asked)
    assert response.status_code == 204
    assert fields(response) == {
        "access-control-allow-origin": "https://a.b.partner.example",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": "X-Key, Authorization",
        "access-control-max-age": "3600",
    }
    assert set(re.split(", ", response.headers["vary"])) == {
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
    }


@pytest.mark.parametrize(
    "asked", [{"access-control-request-method": "TRACE"}, {"access-control-request-headers": "x-other"}]
)
async def test_a_preflight_for_what_is_not_declared(serve: Any, asked: dict[str, str]) -> None:
    async with serve(app(), service()) as running:
        headers = {"origin": APP, "access-control-request-method": "GET", **asked}
        assert (await running.client.options("/api/ok", headers=headers)).status_code == 403


async def test_options_that_is_no_preflight_is_the_applications(serve: Any) -> None:
    async with serve(app(), service()) as running:
        assert (await running.client.options("/api/ok", headers={"origin": APP})).status_code == 405


async def test_other_paths_are_left_alone(serve: Any) -> None:
    async with serve(app(), service()) as running:
        response = await running.client.get("/pages", headers={"origin": APP})
        assert fields(response) == {}
        assert "vary" not in response.headers
        assert fields(await running.client.get("/apis", headers={"origin": APP})) == {}


async def test_everybody_may_read_without_credentials(serve: Any) -> None:
    declared = Service("tested")
    declared.cors("*", path="/")
    async with serve(app(), declared) as running:
        response = await running.client.get("/api/ok", headers={"origin": "https://any.example", "cookie": "a=b"})
    assert fields(response) == {"access-control-allow-origin": "*"}
    assert "vary" not in response.headers


async def test_the_longest_path_goes_first(serve: Any) -> None:
    declared = Service("tested")
    declared.cors("*", path="/")
    declared.cors(APP, path="/api")
    async with serve(app(), declared) as running:
        origin = {"origin": "https://any.example"}
        assert fields(await running.client.get("/api/ok", headers=origin)) == {}
        assert fields(await running.client.get("/pages", headers=origin)) != {}


async def test_what_another_middleware_reflects_is_refused_here(serve: Any) -> None:
    wrapped = app()
    wrapped.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
    async with serve(wrapped) as running:
        headers = {"origin": "https://evil.example", "cookie": "session=1"}
        reflected = fields(await running.client.get("/api/ok", headers=headers))
    assert reflected["access-control-allow-origin"] == "https://evil.example"
    assert reflected["access-control-allow-credentials"] == "true"
    with pytest.raises(DeclarationError, match="every site"):
        Service("tested").cors("*", credentials=True)


@pytest.mark.parametrize(
    ("origins", "options", "why"),
    [
        (("*",), {"credentials": True}, "every site use its visitors' credentials"),
        (("*", APP), {}, "stands alone"),
        (("null",), {}, "write scheme and host"),
        ((), {}, "names no origin"),
        (("https://app.example/",), {}, "without a path"),
        (("https://*",), {}, "write scheme and host"),
        (("https://*.example",), {}, "write scheme and host"),
        (("app.example",), {}, "write scheme and host"),
        ((re.compile(r"https://.*\.example"),), {}, "not anchored"),
        ((re.compile(r"^https://.*\.example"),), {}, "not anchored"),
        ((re.compile(r"^https://.*\.example$", re.MULTILINE),), {}, "not anchored"),
        ((re.compile(r"^https://app.example\.org$"),), {}, "any character"),
        ((re.compile(r"^https?://.*$"),), {}, "lets any site in"),
        ((re.compile(r"^https://[a-z.]+$"),), {}, "lets any site in"),
        ((APP,), {"headers": ("*",)}, "name each one"),
        ((APP,), {"methods": ("GET ",)}, "name each one"),
        ((APP,), {"path": "api"}, "begins with"),
    ],
)
def test_what_would_let_in_strangers_is_refused(origins: Any, options: dict[str, Any], why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        Service("tested").cors(*origins, **options)


def test_an_anchored_pattern() -> None:
    spec = CorsSpec("/", (re.compile(r"^https://pr-[0-9]+\.preview\.example$"),))
    origins = Origins(spec.origins)
    assert "https://pr-12.preview.example" in origins
    assert "https://pr-12xpreview.example" not in origins
    assert "https://pr-12.preview.example\n" not in origins
