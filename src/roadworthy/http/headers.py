"""Headers that every response carries, unless the application set them: unhandled errors and probes too.

The values follow the OWASP secure headers project where they cannot break a page: no content policy beyond framing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from roadworthy.http.asgi import Headers

if TYPE_CHECKING:
    from roadworthy.http.exchange import Exchange

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

_CLOSE = (b"connection", b"close")


def complete(headers: Iterable[tuple[bytes, bytes]], exchange: Exchange) -> Headers:
    """Return the application's headers with ours; only `Server` is not its own to set."""
    given = list(headers)
    names = dict(given)
    if b"server" in names:
        given = [header for header in given if header[0] != b"server"]
        del names[b"server"]
    ours = SECURE + exchange.headers
    if exchange.https:
        ours.append(STRICT_TRANSPORT)
    if exchange.closing:
        ours.append(_CLOSE)
    given.extend([header for header in ours if header[0] not in names])
    return given
