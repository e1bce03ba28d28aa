"""Tags: names by which entries are invalidated together, fit for the headers of content delivery networks as well.

A tag is of lowercase visible ASCII without comma or space. Whatever else is in its text is written as %xx, so that two
texts never share a tag, whether a network minds the case of letters or not.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from roadworthy.errors import DeclarationError, InvalidKey

EVERYTHING = "*"
"""The tag that every entry of a cache has, and no caller can name."""

_LONGEST = 250
_SHOWN = 180
_PLAIN = re.compile(r"[!#-$&-)+\-./0-;=@\[-`a-z{-~<>?]+")
_KEPT = frozenset(string.ascii_lowercase + string.digits + "!#$&'()+-./:;<=>?@[\\]^_`{|}~\"")
_FIELD = re.compile(r"\{([^{}]*)\}")
_RENDERED = (str, int, UUID, date, time, Decimal)

Tagging = Callable[[Mapping[str, Any]], tuple[str, ...]]


def tag_of(text: str) -> str:
    """Return the tag of a text; raise InvalidKey for an empty one."""
    if not text:
        raise InvalidKey("a tag is empty; name what its entries have in common")
    tag = text if _PLAIN.fullmatch(text) else "".join(map(_escaped, text))
    if len(tag) > _LONGEST:
        return f"{tag[:_SHOWN]}~{hashlib.sha256(tag.encode()).hexdigest()}"
    return tag


def _escaped(character: str) -> str:
    if character in _KEPT:
        return character
    return "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))


class TagTemplate:
    """A compiled template such as "site:{site}"."""

    def __init__(self, template: str, names: Sequence[str], function: str) -> None:
        """Compile `template` for a function with these parameters; raise DeclarationError where one is unknown."""
        self.template = template
        self._fields = tuple(_FIELD.findall(template))
        literals = _FIELD.split(template)[::2]
        for field in self._fields:
            if field not in names:
                raise DeclarationError(
                    f"cached function {function!r} has the tag {template!r}, but no parameter {field!r}; use "
                    f"{', '.join(names) or 'a text without fields'}"
                )
        if any("{" in literal or "}" in literal for literal in literals):
            raise DeclarationError(
                f"cached function {function!r} has the tag {template!r} with an unpaired brace; balance it"
            )
        if not template:
            raise DeclarationError(f"cached function {function!r} has an empty tag; name what its entries share")
        self._literals = tuple(literals)

    def of(self, arguments: Mapping[str, Any]) -> str:
        """Return the tag; raise InvalidKey for an argument that none can be made from."""
        parts = [self._literals[0]]
        for field, literal in zip(self._fields, self._literals[1:], strict=True):
            parts += (_text(field, arguments[field]), literal)
        return tag_of("".join(parts))


def _text(field: str, value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, _RENDERED):
        return str(value)
    raise InvalidKey(
        f"no tag can be made from {field}={value!r}; take a parameter that is a text, a number, a date or a UUID"
    )
