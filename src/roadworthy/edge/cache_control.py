"""Cache directives: `Cache-Control` (RFC 9111, section 5.2), and the fields targeted at some caches (RFC 9213)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from roadworthy.edge.structured import parse_dictionary

LONGEST = 2**31
"""What a longer time counts as, in seconds (RFC 9111, section 1.2.2)."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEMBER = re.compile(
    rb"[ \t]*(?:(" + _TOKEN + rb')(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?)?[ \t]*(?:,|$)',
    re.DOTALL,
)
_MALFORMED = re.compile(rb"[ \t]*(" + _TOKEN + rb')?(?:[^,"]|"(?:[^"\\]|\\.)*"|")*(?:,|$)', re.DOTALL)
_SECONDS = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error", "max-stale", "min-fresh"})
_INVALID = "\0"


class Directives:
    """Directives by name, in lower case. Those that nobody knows are kept, and harm nobody.

    One that is malformed, or is there twice with different values, is present and counts as the least: 0 seconds,
    all fields. A response that says unclear things about its freshness is stale (RFC 9111, section 4.2.1).
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str | None]) -> None:
        """Hold these values; None for a directive without one."""
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return f"Directives({dict(self._values)!r})"

    def seconds(self, name: str) -> int | None:
        """Return a time in seconds, None where the directive is not there."""
        if name not in self._values:
            return None
        value = self._values[name] or ""
        return min(int(value), LONGEST) if value.isascii() and value.isdigit() else 0

    def value(self, name: str) -> str | None:
        """Return a directive's value, None where it has none or is not there."""
        return self._values.get(name)

    def fields(self, name: str) -> frozenset[bytes] | None:
        """Return the header names that `no-cache` or `private` is limited to; None where it covers the response."""
        value = self._values.get(name)
        if value is None or value == _INVALID:
            return None
        names = frozenset(part.strip().lower().encode("latin-1") for part in value.split(",") if part.strip())
        return names or None


NONE = Directives({})


def parse_cache_control(lines: Iterable[bytes]) -> Directives:
    """Return the directives of all lines of a `Cache-Control` field."""
    values: dict[str, str | None] = {}
    for line in lines:
        position = 0
        while position < len(line):
            match = _MEMBER.match(line, position)
            if match is None:
                match = _MALFORMED.match(line, position)
                if match is None or match.end() == position:
                    break
                value: str | None = _INVALID
            else:
                quoted, plain = match[2], match[3]
                if quoted is not None:
                    value = re.sub(rb"\\(.)", rb"\1", quoted).decode("latin-1")
                else:
                    value = None if plain is None else plain.decode("latin-1")
            position = match.end()
            if match[1]:
                name = match[1].decode("ascii").lower()
                values[name] = _united(name, values[name], value) if name in values else value
    return Directives(values)


def _united(name: str, first: str | None, second: str | None) -> str | None:
    """Return the more careful of two values of one directive."""
    if first == second:
        return first
    if name in {"no-cache", "private"}:
        return None if first is None or second is None else f"{first},{second}"
    return _INVALID


def parse_targeted(lines: Sequence[bytes]) -> Directives | None:
    """Return the directives of a targeted field, None where it is malformed or empty and so does not count.

    A directive of another type than its own is left out: `max-age="10"` is a string.
    """
    members = parse_dictionary(b", ".join(lines).decode("latin-1"))
    if not members:
        return None
    values: dict[str, str | None] = {}
    for name, value in members.items():
        if name in _SECONDS:
            if type(value) is int:
                values[name] = str(value)
        elif value is True:
            values[name] = None
        elif value is not False:
            values[name] = str(value)
    return Directives(values) if values else None


def response_directives(
    fields: Mapping[bytes, Sequence[bytes]], targeted: Sequence[bytes] = ()
) -> tuple[Directives, bool]:
    """Return the directives that a response has for this cache, and whether a targeted field gave them.

    The first of `targeted` that is there and valid replaces `Cache-Control` and `Expires` altogether.
    """
    for name in targeted:
        if lines := fields.get(name):
            directives = parse_targeted(lines)
            if directives is not None:
                return directives, True
    return parse_cache_control(fields.get(b"cache-control", ())), False


def request_directives(cache_control: bytes | None, pragma: bytes | None) -> Directives:
    """Return the directives of a request. `Pragma: no-cache` counts where there is no `Cache-Control`."""
    if cache_control is not None:
        return parse_cache_control((cache_control,))
    if pragma is not None and "no-cache" in parse_cache_control((pragma,)):
        return Directives({"no-cache": None})
    return NONE
