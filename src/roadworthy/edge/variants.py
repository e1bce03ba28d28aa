"""Variants: responses of one URL that depend on request headers (`Vary`; RFC 9111, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from roadworthy.edge.fields import members

MOST_NAMES = 16
"""A response that depends on more request headers than this is not kept."""

_AS_THEY_ARE = frozenset({b"authorization", b"cookie"})


def vary_names(lines: Iterable[bytes]) -> tuple[bytes, ...] | None:
    """Return the request headers that a response depends on, sorted; None where nothing matches it ever (`*`)."""
    names = set(members(lines))
    if b"*" in names or len(names) > MOST_NAMES:
        return None
    return tuple(sorted(names))


def selecting(names: Iterable[bytes], fields: Mapping[bytes, bytes]) -> str:
    """Return a digest of the values that a request has for these headers: equal for requests that match each other.

    A digest, so that cookies and credentials are no part of any key that is written somewhere.
    """
    digest = blake2b(digest_size=20)
    for name in names:
        value = fields.get(name)
        if value is None:
            digest.update(b"-%d:%b" % (len(name), name))
        else:
            value = normalised(name, value)
            digest.update(b"+%d:%b%d:%b" % (len(name), name, len(value), value))
    return digest.hexdigest()


def normalised(name: bytes, value: bytes) -> bytes:
    """Return a request header's value without differences that mean nothing (RFC 9111, section 4.1).

    Space around commas goes; codings and languages are compared in lower case; codings, whose order says nothing, are
    sorted. The order of languages stays: many applications take the first.
    """
    if name in _AS_THEY_ARE or b'"' in value:
        return value
    parts = [part.strip() for part in value.split(b",")]
    if name == b"accept-encoding":
        parts = sorted({part.lower() for part in parts if part})
    elif name == b"accept-language":
        parts = [part.lower() for part in parts]
    return b",".join(parts)
