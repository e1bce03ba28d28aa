"""Headers that every response carries, unless the application set them: unhandled errors and probes too.

The values follow the OWASP secure headers project where they cannot break a page: no content policy beyond framing.
"""

from __future__ import annotations

from collections.abc import Iterable

from roadworthy.http.asgi import Headers

SECURE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    # "no-referrer" would make browsers send `Origin: null` with a form, which defeats checks of the origin.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    # A server names itself where nothing is set, and that tells a stranger what to attack.
    (b"server", b""),
]
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=63072000")
"""Sent over HTTPS alone, where browsers heed it."""

CLOSE = (b"connection", b"close")


def complete(headers: Iterable[tuple[bytes, bytes]], ours: Headers) -> Headers:
    """Return an application's headers with those of `ours` that it did not set; only `Server` is not its own to set."""
    given = list(headers)
    names = dict(given)
    if b"server" in names:
        given = [header for header in given if header[0] != b"server"]
        del names[b"server"]
    if names.keys().isdisjoint(_OVERRIDABLE):
        given += ours
    else:
        given += [header for header in ours if header[0] not in names]
    return given


def is_event_stream(headers: Headers) -> bool:
    """Return whether a response with these headers is a stream of server-sent events."""
    for name, value in headers:
        if name == b"content-type":
            return value.startswith(b"text/event-stream")
    return False


_OVERRIDABLE = frozenset(name for name, _ in (*SECURE, STRICT_TRANSPORT, CLOSE, (b"x-request-id", b"")))
