"""Header fields that the stack adds to a response, unless the application set them."""

from __future__ import annotations

from collections.abc import Iterable

from roadworthy.http.asgi import Headers

CLOSE = (b"connection", b"close")

# Fields that stand beside those of the same name that the application set.
_BESIDE = frozenset({b"vary"})


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
        given += [header for header in ours if header[0] not in names or header[0] in _BESIDE]
    return given


def is_event_stream(headers: Headers) -> bool:
    """Return whether a response with these headers is a stream of server-sent events."""
    for name, value in headers:
        if name == b"content-type":
            return value.startswith(b"text/event-stream")
    return False


_OVERRIDABLE = frozenset(
    {b"x-request-id", b"connection", b"strict-transport-security", b"x-content-type-options", b"x-frame-options"}
    | {b"content-security-policy", b"referrer-policy", b"permissions-policy", b"cross-origin-opener-policy"}
    | {b"cross-origin-resource-policy", b"access-control-allow-origin", b"access-control-allow-credentials"}
    | {b"access-control-expose-headers"}
)
