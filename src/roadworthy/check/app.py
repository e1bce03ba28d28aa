"""What an ASGI application serves, read off its routes without running it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from roadworthy.check.paging import Unbounded, unbounded
from roadworthy.service import Service

_DEEPEST_WRAPPING = 50


@dataclass(frozen=True, slots=True)
class Route:
    """A path template and the methods it takes; None takes every method."""

    path: str
    methods: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class App:
    """An application as far as it can be seen.

    `installed` says whether `service.install` wrapped it, so that requests meet the HTTP stack. What is served below
    the paths in `hidden` cannot be seen, as with a mounted directory of files; the path "" hides everything.
    `unbounded` are the parameters that ask for any number of things.
    """

    installed: bool
    routes: tuple[Route, ...] = ()
    hidden: tuple[str, ...] = ()
    unbounded: tuple[Unbounded, ...] = ()

    def may_serve(self, method: str, path: str) -> bool:
        """Whether a route has exactly this template and takes the method, or what cannot be seen might."""
        return self.hides(path) or any(
            route.path == path and (route.methods is None or method in route.methods) for route in self.routes
        )

    def hides(self, path: str) -> bool:
        """Whether the path lies below one whose routes cannot be seen."""
        return any(prefix == "" or path == prefix or path.startswith(f"{prefix}/") for prefix in self.hidden)


def describe(service: Service, module: ModuleType) -> App | None:
    """Return what serves the requests of a service declared in `module`, None if nothing does.

    That is the application that the declaration names with `app=`, else the one that `service.install` wrapped, else
    one that the module calls `app` and nobody wrapped.
    """
    if service.app is not None:
        name, _, attribute = service.app.partition(":")
        return inspect(getattr(importlib.import_module(name), attribute, None), service.installed_app)
    served = service.installed_app or getattr(module, "app", None)
    return inspect(served, service.installed_app) if callable(served) else None


def inspect(served: Any, installed: Any) -> App:
    """Describe the application `served`, where `installed` is what `service.install` returned, or None.

    Middleware is looked through by its `app` attribute, as Starlette's and most others' have it; Starlette's and
    FastAPI's routes, mounts and included routers are read. Anything else is taken as serving what cannot be seen.
    """
    met_installed, current = False, served
    for _ in range(_DEEPEST_WRAPPING):
        met_installed = met_installed or (installed is not None and current is installed)
        if hasattr(current, "routes") or not hasattr(current, "app"):
            break
        current = current.app
    if not hasattr(current, "routes"):
        return App(met_installed, hidden=("",))
    found = tuple(_routes(current.routes, ""))
    return App(
        met_installed,
        tuple(route for route in found if isinstance(route, Route)),
        tuple(prefix for prefix in found if isinstance(prefix, str)),
        unbounded(current),
    )


def _routes(routes: Any, prefix: str) -> Iterator[Route | str]:
    """Yield the routes, and the path of each part that does not show its own."""
    for route in routes:
        if hasattr(route, "original_router"):
            included = prefix + getattr(route.include_context, "prefix", "")
            yield from _routes(route.original_router.routes, included)
        elif hasattr(route, "methods") and hasattr(route, "path"):
            methods = route.methods
            yield Route(prefix + route.path, None if methods is None else frozenset(methods))
        elif hasattr(route, "routes") and hasattr(route, "path"):
            if route.routes:
                yield from _routes(route.routes, prefix + route.path)
            else:
                yield prefix + route.path
        elif not hasattr(route, "endpoint"):
            yield prefix
