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

    def of(self, scope: Scope) -> T | None:
        """Return the value of the route that a request looks like, None where nothing is declared for it."""
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root:
            path = path.removeprefix(root)
        # The patterns of frameworks end in `$`, which in Python matches before a last line feed as well.
        path = path.removesuffix("\n")
        # A WebSocket's handshake is a GET.
        method: str = scope.get("method", "GET")
        if method == "HEAD":
            method = "GET"
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact
        pattern = self._patterns.get(method)
        found = None if pattern is None else pattern.fullmatch(path)
        return None if found is None or found.lastindex is None else self._values[method][found.lastindex - 1]
