"""The route template of a request, read from its scope after the framework has dispatched it.

A label must come from the code, never from the caller: what cannot be traced to a declared route is `__unmatched__`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from roadworthy.http.asgi import Scope
from roadworthy.telemetry.metrics import UNMATCHED_ROUTE

CACHED_ROUTE = "roadworthy.cached_route"
"""Where the scope of a request that the application did not see has the route that it would have taken."""

RouteTemplate = Callable[[Scope, int | None], str]
"""Gives the route label of a dispatched request, from its scope and the status of its response."""


def route_template(scope: Scope, status: int | None = None) -> str:
    """Return the template of the route that Starlette or FastAPI chose, with the prefixes of routers and mounts.

    A request that was answered from the HTTP cache has the one of the request whose response it got.
    """
    route = scope.get("route")
    if route is None:
        cached: str | None = scope.get(CACHED_ROUTE)
        return _without_route(scope, status) if cached is None else cached
    # A router that FastAPI includes keeps its own, shorter path in the route; the whole one stands beside it.
    if (included := scope.get("fastapi")) is not None:
        route = included.get("effective_route_context") or route
    path: str | None = getattr(route, "path", None)
    if path is None:
        return UNMATCHED_ROUTE
    if hasattr(route, "routes"):
        return _mounted(scope, status)
    if "app_root_path" not in scope:
        return path
    inner = getattr(route, "param_convertors", {})
    return _joined(_mount_template(scope, inner), path)


def _without_route(scope: Scope, status: int | None) -> str:
    """Return the template where only an endpoint is known: a plain route or a mount inside FastAPI."""
    if "endpoint" not in scope:
        return UNMATCHED_ROUTE
    if "app_root_path" in scope:
        return _mounted(scope, status)
    path: str = scope["path"]
    return _templated(path.removeprefix(scope.get("root_path", "")), scope.get("path_params") or {}) or UNMATCHED_ROUTE


def _mounted(scope: Scope, status: int | None) -> str:
    """Return the template of an application mounted whole, as static files are; what it does not have is unmatched."""
    if status == 404:
        return UNMATCHED_ROUTE
    return _joined(_mount_template(scope, {}), "/{path}")


def _mount_template(scope: Scope, inner: Mapping[str, Any]) -> str | None:
    """Return the mounts' part of the template: of the path that they took, with their parameters' names put back."""
    taken = scope["root_path"][len(scope["app_root_path"]) :]
    parameters = scope.get("path_params") or {}
    return _templated(taken, {name: value for name, value in parameters.items() if name not in inner})


def _templated(path: str, parameters: Mapping[str, Any]) -> str | None:
    """Return `path` with each parameter's value replaced by its name, None if one of them is not in it.

    The last place where a value fits is taken, for a fixed part mostly stands before what varies. Where a caller makes
    both the same, the worst is a template with its parts in another order.
    """
    end = len(path)
    for name, value in reversed(list(parameters.items())):
        segment = f"/{value}"
        found = f"{path[:end]}/".rfind(f"{segment}/")
        if found < 0:
            return None
        path = f"{path[:found]}/{{{name}}}{path[found + len(segment) :]}"
        end = found
    return path


def _joined(mount: str | None, path: str) -> str:
    return UNMATCHED_ROUTE if mount is None else mount + path
