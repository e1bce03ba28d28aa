"""The routes with a policy as proxies match them: in order, each with what is to be done to its requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from roadworthy.edge.policy import escaped, pattern_of
from roadworthy.edge.spec import EdgeSpec, Policy

_PARAMETER = re.compile(r"(\{[^{}]*\})")


@dataclass(frozen=True, slots=True)
class EdgeRoute:
    """A GET route. `decoded` and `raw` match its path, percent-decoded and as it is sent."""

    spec: EdgeSpec
    decoded: str
    raw: str

    @property
    def policy(self) -> Policy:
        """What may be kept of it."""
        return self.spec.policy


def edge_routes(edges: Sequence[EdgeSpec]) -> tuple[EdgeRoute, ...]:
    """Return the GET routes, those without parameters first, as the service itself matches them.

    Without any that is treated, there is nothing to match.
    """
    found = [
        EdgeRoute(spec, pattern_of(path, named=False), _raw(path))
        for spec in edges
        if spec.route is not None
        for method, path in [spec.route]
        if method == "GET"
    ]
    if not any(route.policy.is_treated for route in found):
        return ()
    return tuple(sorted(found, key=lambda route: "{" in route.spec.name))


def _raw(template: str) -> str:
    """Return the pattern of a template's paths as they are sent."""
    parts = _PARAMETER.split(template)
    quoted = "".join(part if part.startswith("{") else quote(part, safe="/%!$&'()*+,;=:@~") for part in parts)
    return pattern_of(quoted, named=False).replace("[^/]+", "[^/?]+").replace(".*", "[^?]*")


def listed(values: Sequence[str]) -> str:
    """Return the alternatives of a regular expression that match one of the values."""
    return "|".join(escaped(value) for value in values)
