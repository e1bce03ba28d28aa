from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from roadworthy import Service
from roadworthy.check.app import App, describe, inspect


async def home(request: Any) -> PlainTextResponse:
    return PlainTextResponse("home")


async def chat(socket: Any) -> None: ...


class Stack:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


def paths(app: App) -> set[str]:
    return {route.path for route in app.routes}


def test_routes_of_starlette_with_mounts(tmp_path: Path) -> None:
    app = Starlette(
        routes=[
            Route("/", home),
            WebSocketRoute("/chat", chat),
            Mount("/api", routes=[Route("/sites/{name}", home, methods=["POST"])]),
            Mount("/static", StaticFiles(directory=tmp_path)),
        ]
    )
    seen = inspect(app, None)
    assert paths(seen) == {"/", "/api/sites/{name}"}
    assert seen.hidden == ("/static",)
    assert seen.may_serve("HEAD", "/")
    assert seen.may_serve("POST", "/api/sites/{name}")
    assert not seen.may_serve("GET", "/api/sites/{name}")
    assert not seen.may_serve("GET", "/chat")
    assert seen.may_serve("GET", "/static/site.css")
    assert not seen.may_serve("GET", "/statics")


def test_routes_of_fastapi_with_nested_routers() -> None:
    app, outer, inner = FastAPI(), APIRouter(prefix="/v1"), APIRouter()
    inner.get("/items/{id}")(home)
    outer.include_router(inner, prefix="/shop")
    app.include_router(outer, prefix="/api")
    seen = inspect(app, None)
    assert seen.may_serve("GET", "/api/v1/shop/items/{id}")
    assert not seen.may_serve("GET", "/v1/items/{id}")
    assert seen.hidden == ()


def test_a_wrapped_application_is_looked_into() -> None:
    bare = Starlette(routes=[Route("/", home)])
    stack = Stack(bare)
    assert inspect(stack, stack).installed
    assert inspect(CORSMiddleware(stack, allow_origins=["*"]), stack).installed
    assert not inspect(bare, stack).installed
    assert not inspect(bare, None).installed
    assert paths(inspect(CORSMiddleware(stack, allow_origins=["*"]), stack)) == {"/"}


def test_an_unknown_application_may_serve_anything() -> None:
    async def raw(scope: Any, receive: Any, send: Any) -> None: ...

    assert inspect(raw, None) == App(False, hidden=("",))
    assert inspect(raw, raw).may_serve("GET", "/anything")


def test_wrapping_in_a_circle_ends() -> None:
    loop = Stack(None)
    loop.app = loop
    assert inspect(loop, loop) == App(True, hidden=("",))


def test_an_unknown_kind_of_route_hides_what_is_around_it() -> None:
    class Odd:
        pass

    app = Starlette(routes=[Route("/", home)])
    app.router.routes.append(Odd())  # type: ignore[arg-type]
    assert inspect(app, None).hidden == ("",)


def module(**attributes: Any) -> ModuleType:
    made = ModuleType("shop_for_check")
    vars(made).update(attributes)
    return made


def test_the_application_is_the_named_one_then_the_installed_one_then_the_modules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare = Starlette(routes=[Route("/", home)])
    stack = Stack(bare)
    shop = module(app=bare)
    monkeypatch.setitem(sys.modules, "shop_for_check", shop)

    undecided = Service("shop")
    assert describe(undecided, shop) == inspect(bare, None)
    assert describe(undecided, module()) is None
    assert describe(undecided, module(app="no application")) is None

    installed = Service("shop")
    installed.installed_app = stack
    assert describe(installed, shop) == inspect(stack, stack)

    named = Service("shop", app="shop_for_check:app")
    named.installed_app = stack
    described = describe(named, module())
    assert described is not None
    assert not described.installed
