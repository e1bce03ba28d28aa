"""What is declared for routes, found for a request before the application has dispatched it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Generic, TypeVar

from roadworthy.edge.policy import pattern_of
from roadworthy.http.asgi import Scope

T = TypeVar("T")


class Routes(Generic[T]):
    """Values by route ("GET /sites/{name}"). HEAD counts as GET; a route without parameters goes first."""

    def __init__(self, values: Mapping[str, T]) -> None:
        """Compile the routes of `values`."""
        self._exact: dict[tuple[str, str], T] = {}
        templated: dict[str, list[tuple[str, T]]] = {}
        for route, value in values.items():
            method, _, path = route.partition(" ")
            if "{" in path:
                templated.setdefault(method, []).append((path, value))
            else:
                self._exact[method, path] = value
        self._values = {method: [value for _, value in found] for method, found in templated.items()}
        self._patterns = {
            method: re.compile("|".join(f"({pattern_of(path, named=False)})" for path, _ in found))
            for method, found in templated.items()
        }
        self._each = {
            method: [(re.compile(pattern_of(path, named=False)), value) for path, value in found]
            for method, found in templated.items()
        }

    def of(self, scope: Scope) -> T | None:
        """Return the value of the route that a request looks like, None where nothing is declared for it."""
        asked = _asked(scope)
        exact = self._exact.get(asked)
        return self._first(*asked) if exact is None else exact

    def all_of(self, scope: Scope) -> tuple[T, ...]:
        """Return the values of all routes that a request may take; which it does, the application decides."""
        method, path = asked = _asked(scope)
        exact = self._exact.get(asked)
        if exact is not None:
            return (exact,)
        first = self._first(method, path)
        if first is None:
            return ()
        each = self._each[method]
        return (first,) if len(each) == 1 else tuple(value for pattern, value in each if pattern.fullmatch(path))

    def _first(self, method: str, path: str) -> T | None:
        pattern = self._patterns.get(method)
        found = None if pattern is None else pattern.fullmatch(path)
        return None if found is None or found.lastindex is None else self._values[method][found.lastindex - 1]


def _asked(scope: Scope) -> tuple[str, str]:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root:
        path = path.removeprefix(root)
    # A WebSocket's handshake is a GET.
    method: str = scope.get("method", "GET")
    # The patterns of frameworks end in `$`, which in Python matches before a last line feed as well.
    return "GET" if method == "HEAD" else method, path.removesuffix("\n")
