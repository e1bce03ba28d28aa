"""What a request that changes something makes invalid (RFC 9111, section 4.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

SAFE = frozenset(
    {"GET", "HEAD", "OPTIONS", "TRACE", "PRI", "PROPFIND", "REPORT", "SEARCH", "QUERY"},
)
"""The methods that are registered as safe; of any other it is not known that it changes nothing."""

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """A URL of this origin: its path as an application sees it and as it was sent, and its query."""

    path: str
    raw_path: bytes
    query: bytes


def invalidates(method: str, status: int) -> bool:
    """Return whether a response says that something at the URL may have changed: an error says the contrary."""
    return method not in SAFE and 200 <= status < 400


def targets(url: str, headers: Iterable[tuple[bytes, bytes]]) -> list[Target]:
    """Return what `Location` and `Content-Location` of a response name besides its own `url`, on the same origin."""
    found: list[Target] = []
    here = urlsplit(url)
    for name, value in headers:
        if name not in {b"location", b"content-location"}:
            continue
        try:
            there = urlsplit(urljoin(url, value.decode("latin-1").strip()))
            same = (there.scheme, there.hostname, _port(there.scheme, there.port)) == (
                here.scheme,
                here.hostname,
                _port(here.scheme, here.port),
            )
        except ValueError:
            continue
        if same:
            path = there.path or "/"
            found.append(Target(unquote(path), path.encode("latin-1"), there.query.encode("latin-1")))
    return found


def _port(scheme: str, port: int | None) -> int | None:
    return _PORTS.get(scheme) if port is None else port
