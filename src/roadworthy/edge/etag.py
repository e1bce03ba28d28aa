"""Strong entity tags of whole bodies (RFC 9110, 8.8.3): on every node the same for the same bytes and encoding."""

from __future__ import annotations

from hashlib import blake2b

LARGEST = 1024 * 1024
"""The most bytes of a body that are hashed; past it, hashing would hold up other requests for over a millisecond."""

_GZIP = b"\x1f\x8b"
_MTIME = slice(4, 8)


def strong_etag(body: bytes, *representation: bytes) -> bytes:
    """Return the entity tag of `body`, quoted. `representation` is what else tells variants apart, as its encoding."""
    digest = blake2b(b"\0".join(representation), digest_size=16)
    digest.update(b"\0")
    digest.update(body)
    return b'"%b"' % digest.hexdigest().encode()


def settled(body: bytes, encoding: bytes) -> bytes:
    """Return a body whose bytes do not depend on when it was compressed.

    gzip writes the time into its header (RFC 1952, 2.3.1), where 0 says that there is none. With the time, no two
    compressions of one page would have the same entity tag.
    """
    if encoding.strip().lower() in (b"gzip", b"x-gzip") and body[:2] == _GZIP and len(body) > 18:
        return b"%b\0\0\0\0%b" % (body[: _MTIME.start], body[_MTIME.stop :])
    return body
