from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from roadworthy.http.route import route_template
from roadworthy.telemetry.metrics import UNMATCHED_ROUTE


async def plain(request: Request) -> PlainTextResponse:
    return PlainTextResponse("x")


def fastapi(static: Path) -> FastAPI:
    async def endpoint() -> dict[str, str]:
        return {}

    async def typed(id: int) -> dict[str, str]:
        return {}

    deepest = APIRouter(prefix="/deepest")
    deepest.get("/x/{id}")(typed)
    versioned = APIRouter(prefix="/v1")
    versioned.get("/items/{id}")(typed)
    versioned.include_router(deepest, prefix="/included")
    api = APIRouter(prefix="/api")
    api.include_router(versioned)
    other = APIRouter()
    other.get("/items/{id}")(typed)
    inner = FastAPI()
    inner.get("/s/{id}")(typed)
    inner.include_router(versioned)
    app = FastAPI()
    app.get("/")(endpoint)
    app.get("/files/{path:path}")(endpoint)
    app.include_router(api, prefix="/outer")
    app.include_router(api, prefix="/tenants/{tenant}")
    app.include_router(other, prefix="/other")
    app.add_route("/plain/{name}/end", plain)
    app.mount("/sub", inner)
    app.mount("/of/{tenant}", inner)
    app.mount("/static", StaticFiles(directory=static))
    return app


def starlette(static: Path) -> Starlette:
    nested = Starlette(routes=[Route("/leaf", plain), Route("/leaf/{n:int}", plain)])
    return Starlette(
        routes=[
            Route("/", plain),
            Route("/a/{b}", plain),
            Mount("/m/{k}", routes=[Route("/r/{c}", plain), Mount("/mm/{k2}", app=nested)]),
            Mount("/fast", app=fastapi(static)),
            Mount("/static", app=StaticFiles(directory=static)),
        ]
    )


FASTAPI = [
    ("GET", "/", "/", 200),
    ("GET", "/outer/api/v1/items/3", "/outer/api/v1/items/{id}", 200),
    ("GET", "/outer/api/v1/items/x", "/outer/api/v1/items/{id}", 422),
    ("GET", "/outer/api/v1/included/deepest/x/3", "/outer/api/v1/included/deepest/x/{id}", 200),
    ("GET", "/tenants/acme/api/v1/items/3", "/tenants/{tenant}/api/v1/items/{id}", 200),
    ("GET", "/other/items/3", "/other/items/{id}", 200),
    ("GET", "/files/a/b/c", "/files/{path:path}", 200),
    ("POST", "/files/a", "/files/{path:path}", 405),
    ("GET", "/openapi.json", "/openapi.json", 200),
    ("GET", "/plain/x/end", "/plain/{name}/end", 200),
    ("GET", "/sub/s/1", "/sub/s/{id}", 200),
    ("GET", "/sub/v1/items/1", "/sub/v1/items/{id}", 200),
    ("GET", "/of/acme/s/1", "/of/{tenant}/s/{id}", 200),
    ("GET", "/of/acme/v1/items/1", "/of/{tenant}/v1/items/{id}", 200),
    ("GET", "/of/acme/nothing", UNMATCHED_ROUTE, 404),
    ("GET", "/static/page.txt", "/static/{path}", 200),
    ("GET", "/static/none", UNMATCHED_ROUTE, 404),
    ("GET", "/nothing/1", UNMATCHED_ROUTE, 404),
]
STARLETTE = [
    ("GET", "/", "/", 200),
    ("GET", "/a/1", "/a/{b}", 200),
    ("POST", "/a/1", "/a/{b}", 405),
    ("GET", "/m/1/r/1", "/m/{k}/r/{c}", 200),
    ("GET", "/m/m/mm/mm/leaf", "/m/{k}/mm/{k2}/leaf", 200),
    ("GET", "/m/1/mm/2/leaf/3", "/m/{k}/mm/{k2}/leaf/{n:int}", 200),
    ("GET", "/m/1/nothing", UNMATCHED_ROUTE, 404),
    ("GET", "/fast/outer/api/v1/items/3", "/fast/outer/api/v1/items/{id}", 200),
    ("GET", "/fast/of/acme/s/1", "/fast/of/{tenant}/s/{id}", 200),
    ("GET", "/static/page.txt", "/static/{path}", 200),
    ("GET", "/nothing", UNMATCHED_ROUTE, 404),
]


@pytest.mark.parametrize(
    ("make", "method", "path", "template", "status"),
    [(fastapi, *case) for case in FASTAPI] + [(starlette, *case) for case in STARLETTE],
)
async def test_templates(
    serve: Any, tmp_path: Path, make: Any, method: str, path: str, template: str, status: int
) -> None:
    (tmp_path / "page.txt").write_text("page")
    async with serve(make(tmp_path)) as running:
        response = await running.client.request(method, path)
        assert response.status_code == status
        assert running.counted() == {(method, template, str(status)): 1}


async def test_a_path_prefix_of_the_server_is_no_part_of_the_template(serve: Any, tmp_path: Path) -> None:
    import httpx

    (tmp_path / "page.txt").write_text("page")
    async with serve(fastapi(tmp_path)) as running:
        transport = httpx.ASGITransport(running.stack, root_path="/behind")
        async with httpx.AsyncClient(transport=transport, base_url="http://tested") as client:
            for path in ("/behind/of/acme/s/1", "/behind/openapi.json", "/behind/outer/api/v1/items/3"):
                assert (await client.get(path)).status_code == 200
        assert {route for _, route, _ in running.counted()} == {
            "/of/{tenant}/s/{id}",
            "/openapi.json",
            "/outer/api/v1/items/{id}",
        }


@pytest.mark.parametrize(
    "scope",
    [
        {"path": "/raw/7"},
        {"path": "/raw/7", "route": object()},
        {"path": "/raw/007", "endpoint": object(), "path_params": {"n": 7}},
        {
            "path": "/m/007/x",
            "root_path": "/m/007",
            "app_root_path": "",
            "path_params": {"n": 7},
            "endpoint": object(),
            "route": type("Route", (), {"path": "/x"})(),
        },
    ],
)
def test_what_cannot_be_traced_to_a_route_is_unmatched(scope: dict[str, Any]) -> None:
    assert route_template(scope) == UNMATCHED_ROUTE


async def test_another_frameworks_routes_can_be_named(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["template"] = "/things/<id>"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with serve(app, route=lambda scope, status: scope["template"]) as running:
        await running.client.get("/things/7")
        assert running.counted() == {("GET", "/things/<id>", "200"): 1}
