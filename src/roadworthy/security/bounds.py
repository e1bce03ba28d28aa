"""What a request may be and take: the hosts it may name, the bytes it may have, the time it may need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from roadworthy.errors import DeclarationError

ANY = "*"
"""The name of the bounds of every route that has none of its own."""

BODY = 1024 * 1024
DEPTH = 64
DEADLINE = timedelta(seconds=30)
HEADER_BYTES = 32 * 1024
HEADER_FIELDS = 100

_HOST = re.compile(r"(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]")
_ROUTE = re.compile(r"([A-Z]+) (/(?:[^\s{}?#]|\{[A-Za-z_]\w*(?::\w+)?\})*)")
_LONGEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class HostsSpec:
    """The hosts that a service answers for: names in lower case without a port, "*.example.org" for all below one.

    Raises DeclarationError for what is no host.
    """

    hosts: tuple[str, ...]
    name: str = "hosts"

    def __post_init__(self) -> None:
        """Refuse what no request names."""
        if not self.hosts:
            raise DeclarationError("hosts() names no host; name those that the service is reached by")
        for host in self.hosts:
            if not _HOST.fullmatch(host):
                raise DeclarationError(
                    f"host {host!r} is no name; write it in lower case without scheme or port, as in 'api.example.org' "
                    "or '*.example.org'"
                )


class Hosts:
    """The hosts of a declaration, ready to be asked."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        """Sort them by what they match."""
        self._exact = frozenset(host for host in hosts if not host.startswith("*."))
        self._below = tuple(host[1:] for host in hosts if host.startswith("*."))

    def __contains__(self, field: str) -> bool:
        """Whether a Host header names one of them, with whatever port."""
        host = field.lower()
        name, _, port = host.rpartition(":")
        if name and port.isdecimal() and (host.startswith("[") or ":" not in name):
            host = name
        host = host.removesuffix(".")
        return host in self._exact or (self._below != () and host.endswith(self._below) and _is_name(host))


def _is_name(host: str) -> bool:
    return _HOST.fullmatch(host) is not None and not host.startswith("*")


@dataclass(frozen=True, slots=True)
class BoundsSpec:
    """The bounds of requests to the route `name` ("POST /uploads"), or of all others for "*".

    `body` is the most bytes of a body, `depth` how deeply its JSON may be nested, `deadline` the time until the
    response begins, 0 for any. None leaves it to those of "*", or to the defaults.

    Raises DeclarationError where a value breaks its rule.
    """

    name: str
    body: int | None = None
    depth: int | None = None
    deadline: timedelta | None = None

    def __post_init__(self) -> None:
        """Refuse what bounds nothing."""
        if self.name != ANY and not _ROUTE.fullmatch(self.name):
            raise DeclarationError(
                f"bounds are declared for {self.name!r}; write a route as the application declares it, as in "
                "'POST /uploads/{id}', or '*' for all others"
            )
        if self.body is not None and self.body < 0:
            raise DeclarationError(f"bounds of {self.name!r} have body={self.body}; it is the most bytes, 0 or more")
        if self.depth is not None and self.depth < 1:
            raise DeclarationError(f"bounds of {self.name!r} have depth={self.depth}; it is 1 at least")
        if self.deadline is not None and not timedelta(0) <= self.deadline <= _LONGEST:
            raise DeclarationError(f"bounds of {self.name!r} have deadline={self.deadline}; it is from 0 to a day")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds that a request is held to: `body` in bytes, `deadline` in seconds, None for any."""

    body: int = BODY
    depth: int = DEPTH
    deadline: float | None = DEADLINE.total_seconds()

    def narrowed(self, spec: BoundsSpec) -> Bounds:
        """Return these with what `spec` says instead."""
        seconds = self.deadline if spec.deadline is None else spec.deadline.total_seconds() or None
        return Bounds(
            self.body if spec.body is None else spec.body, self.depth if spec.depth is None else spec.depth, seconds
        )
