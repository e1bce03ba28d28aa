"""How much a request may ask a list for, read off the OpenAPI document that an application makes of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SIZES = frozenset(
    {"limit", "size", "count", "first", "last", "top", "take", "per_page", "perpage", "page_size", "pagesize"}
    | {"max_results", "maxresults", "results", "rows"}
)
_BOUNDS = ("maximum", "exclusiveMaximum", "enum", "const")


@dataclass(frozen=True, slots=True)
class Unbounded:
    """A query parameter by which a request may ask for any number of things."""

    route: str
    parameter: str


def unbounded(app: Any) -> tuple[Unbounded, ...]:
    """Return the parameters of an application that say how many and have no maximum; none where it has no document."""
    make = getattr(app, "openapi", None)
    if not callable(make):
        return ()
    document = make()
    return tuple(_found(document)) if isinstance(document, Mapping) else ()


def _found(document: Mapping[str, Any]) -> Iterator[Unbounded]:
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()) if isinstance(operation, Mapping) else ():
                schema = parameter.get("schema", {})
                kinds = [kind for kind in schema.get("anyOf", (schema,)) if kind.get("type") == "integer"]
                if parameter.get("in") != "query" or parameter.get("name", "").lower() not in _SIZES:
                    continue
                if any(not any(bound in kind for bound in _BOUNDS) for kind in kinds):
                    yield Unbounded(f"{method.upper()} {path}", parameter["name"])
