"""Dictionaries of Structured Fields (RFC 8941, with the dates and display strings of RFC 9651), as caches read them."""

from __future__ import annotations

import re

Item = bool | int | float | str | tuple[object, ...]


class Token(str):
    """A token, which is no string: `private` and `"private"` differ."""

    __slots__ = ()


_KEY = r"[a-z*][a-z0-9_.*-]*"
_BARE = (
    r"(?P<decimal>-?\d{1,12}\.\d{1,3})|(?P<integer>-?\d{1,15})"
    r'|"(?P<string>(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
    r"|(?P<token>[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*)"
    r"|(?P<binary>:[A-Za-z0-9+/=]*:)|\?(?P<boolean>[01])|(?P<date>@-?\d{1,15})"
    r'|(?P<display>%"(?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*")'
)
_ITEM = re.compile(_BARE)
_PARAMETER = re.compile(rf"; *{_KEY}(?:=(?:{re.sub(r'[?]P<[a-z]+>', '?:', _BARE)}))?")
_MEMBER = re.compile(rf"(?P<key>{_KEY})(?P<equals>=)?")
_NEXT = re.compile(r"[ \t]*,[ \t]*")
_BETWEEN = re.compile(r" *")


class _Malformed(ValueError):
    pass


def parse_dictionary(text: str) -> dict[str, Item] | None:
    """Return a dictionary's members, parameters left out; None where any of it is malformed, as the RFC demands.

    Integers, decimals, strings, tokens (`Token`) and booleans come as such, inner lists as tuples, and what caches have
    no use for (bytes, dates, display strings) as its text.
    """
    text = text.strip(" ")
    members: dict[str, Item] = {}
    position = 0
    try:
        while position < len(text):
            position = _member(text, position, members)
            if position == len(text):
                break
            separator = _NEXT.match(text, position)
            if separator is None or separator.end() == len(text):
                return None
            position = separator.end()
    except _Malformed:
        return None
    return members


def _member(text: str, position: int, members: dict[str, Item]) -> int:
    match = _MEMBER.match(text, position)
    if match is None:
        raise _Malformed
    value: Item = True
    position = match.end()
    if match["equals"]:
        if text.startswith("(", position):
            value, position = _inner_list(text, position + 1)
        else:
            value, position = _item(text, position)
    # The last of several is the one that counts, and stands where it came.
    members.pop(match["key"], None)
    members[match["key"]] = value
    return _parameters(text, position)


def _item(text: str, position: int) -> tuple[Item, int]:
    match = _ITEM.match(text, position)
    if match is None:
        raise _Malformed
    kind, found = match.lastgroup, match[match.lastgroup or 0]
    value: Item = found
    if kind == "integer":
        value = int(found)
    elif kind == "decimal":
        value = float(found)
    elif kind == "boolean":
        value = found == "1"
    elif kind == "token":
        value = Token(found)
    elif kind == "string":
        value = re.sub(r"\\(.)", r"\1", found)
    return value, match.end()


def _inner_list(text: str, position: int) -> tuple[Item, int]:
    items: list[object] = []
    while True:
        between = _BETWEEN.match(text, position)
        spaces = between.end() - position if between else 0
        position += spaces
        if text.startswith(")", position):
            return tuple(items), position + 1
        if items and not spaces:
            raise _Malformed
        value, position = _item(text, position)
        items.append(value)
        position = _parameters(text, position)


def _parameters(text: str, position: int) -> int:
    while match := _PARAMETER.match(text, position):
        position = match.end()
    return position
