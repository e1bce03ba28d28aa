"""Header fields as caches look at them: by name, joined or line by line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Pairs = Iterable[tuple[bytes, bytes]]

NOT_STORED = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""What concerns one connection and is not stored (RFC 9110, section 7.6.1; RFC 9111, section 3.1)."""


def joined(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return a request's fields by name in lower case, the lines of each joined as RFC 9110, section 5.2, has it."""
    fields = dict(headers)
    if len(fields) == len(headers):
        return fields
    fields = {}
    for name, value in headers:
        if name in fields:
            value = fields[name] + (b"; " if name == b"cookie" else b", ") + value
        fields[name] = value
    return fields


def by_name(headers: Pairs) -> dict[bytes, list[bytes]]:
    """Return the lines of each field."""
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        fields.setdefault(name, []).append(value)
    return fields


def members(lines: Iterable[bytes]) -> list[bytes]:
    """Return the members of a field that is a list of tokens, in lower case."""
    return [part for line in lines for member in line.split(b",") if (part := member.strip().lower())]


def content_length(fields: Mapping[bytes, Sequence[bytes]]) -> int | None:
    """Return the length that a response says its content has; None where it says none, -1 where it says nonsense."""
    lines = fields.get(b"content-length")
    if not lines:
        return None
    lengths = {member.strip() for line in lines for member in line.split(b",")}
    length = lengths.pop()
    return int(length) if not lengths and length.isdigit() else -1
