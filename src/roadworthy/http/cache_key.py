"""Under which key a request's response is kept: all of its URL, and what else applications go by unasked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from roadworthy.http.asgi import Scope

CacheKey = Callable[[Scope, Mapping[bytes, bytes]], str | None]
"""Gives the key of a GET from its scope and its headers by name; None keeps it out of the cache."""

_OF_THE_URL = (
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-proto",
    b"x-forwarded-scheme",
)
BARRING = frozenset(
    {
        b"content-length",
        b"transfer-encoding",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-url",
        b"x-rewrite-url",
    }
)
"""Headers with which a GET is kept out: those that replace its URL or method, and those of a body.

Applications heed them, so that somebody could have us keep one page under another's URL.
"""

_NOTABLE = BARRING.union(_OF_THE_URL)


def url_key(scope: Scope, fields: Mapping[bytes, bytes]) -> str | None:
    """Return the key of a URL: scheme, host, query and path, the latter decoded and, where that differs, as sent.

    No part but the path can have a space in it, and that is last: no two URLs share a key. Headers in which proxies say
    what the URL was are a part of it, and a request with something else to go by has none.
    """
    raw = scope.get("raw_path") or b""
    sent = raw.decode("latin-1") if b"%" in raw else ""
    host = fields.get(b"host", b"").decode("latin-1").lower()
    key = f"{scope['scheme']} {host} {scope['query_string'].decode('latin-1')} {sent}"
    if key.count(" ") != 3:
        return None
    if not _NOTABLE.isdisjoint(fields):
        if any(fields.get(name, b"0") != b"0" for name in BARRING):
            return None
        named = [fields.get(name, b"").replace(b"%", b"%25").replace(b" ", b"%20") for name in _OF_THE_URL]
        if any(named):
            key = f"forwarded {key} {b' '.join(named).decode('latin-1')}"
    return f"{key} {scope['path']}"
