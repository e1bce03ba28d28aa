"""Keys: readable texts made from a call's arguments, the same in every process, and never the same for two calls.

    fetch("example.org", 2)      fetch:example.org:2
    fetch("2", 2)                fetch:'2':2
    fetch("a:b", None)           fetch:'a:b':None

A text is bare where it looks like nothing else and holds no separator, and quoted otherwise. Every other type has a
form of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import msgspec

from roadworthy.errors import DeclarationError, InvalidKey

_LONGEST = 250
_SHOWN = 120
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./@-]*")
_BARE_CHARACTERS = re.compile(r"[A-Za-z0-9_./@+-]*")
_TAKEN = frozenset(("None", "True", "False", "inf", "nan"))
_FIELD = re.compile(r"\{([^{}]*)\}")


def fitted(key: str) -> str:
    """Return a key that any store can keep: one that is long or not printable is replaced by its SHA-256."""
    if (
        len(key) <= _LONGEST
        and (key.isascii() or len(key.encode("utf-8", "replace")) <= _LONGEST)
        and key.isprintable()
    ):
        return key
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_quotable(key[:_SHOWN])[:_SHOWN]}#{digest}"


def given(key: object) -> str:
    """Return a key that a caller wrote, fitted; raise InvalidKey where it is no text or empty."""
    if not isinstance(key, str) or not key:
        raise InvalidKey(f"the key {key!r} is no text; write one, as in f'user:{{id}}'")
    return fitted(key)


def rendered(value: Any) -> str:
    """Return the text that stands for a value in a key; raise InvalidKey where there is none."""
    if isinstance(value, Enum):
        return f"<{type(value).__qualname__}.{value.name}>"
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) and value not in _TAKEN else f"'{_quotable(value)}'"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    return _composed(value)


def _composed(value: Any) -> str:
    match value:
        case bytes() | bytearray() | memoryview():
            return f"<bytes {bytes(value).hex()}>"
        case datetime() | date() | time():
            return f"<{_kind(value)} {value.isoformat()}>"
        case timedelta():
            return f"<timedelta {value.days} {value.seconds} {value.microseconds}>"
        case UUID() | Decimal():
            return f"<{_kind(value)} {value}>"
        case PurePath():
            return f"<Path '{_quotable(str(value))}'>"
        case tuple():
            return f"({','.join(map(rendered, value))})"
        case list():
            return f"[{','.join(map(rendered, value))}]"
        case AbstractSet():
            return f"{{{','.join(sorted(map(rendered, value)))}}}"
        case Mapping():
            return f"{{{','.join(sorted(f'{rendered(key)}={rendered(one)}' for key, one in value.items()))}}}"
    names = _fields(value)
    if names is None:
        raise InvalidKey(
            f"no key can be made from {value!r}; leave the parameter out of key=, or pass an id in its place"
        )
    return f"<{type(value).__qualname__}({','.join(f'{name}={rendered(getattr(value, name))}' for name in names)})>"


def _kind(value: object) -> str:
    for kind in (datetime, date, time, UUID, Decimal):
        if isinstance(value, kind):
            return kind.__name__
    raise AssertionError(value)


def _fields(value: Any) -> Sequence[str] | None:
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [field.name for field in dataclasses.fields(value)]
    return None


def _quotable(text: str) -> str:
    if text.isprintable():
        return text.replace("\\", "\\\\").replace("'", "\\'")
    return text.encode("unicode_escape").decode("ascii").replace("'", "\\'")


class Call:
    """The compiled signature of a function whose calls have keys: how its arguments are named."""

    def __init__(self, function: Callable[..., Any], kind: str = "cached function") -> None:
        """Compile the signature of `function`; errors say `kind` of it."""
        self.name: str = function.__name__
        self.described = f"{kind} {self.name!r}"
        self.signature = inspect.signature(function)
        self.names = tuple(self.signature.parameters)
        kinds = [parameter.kind for parameter in self.signature.parameters.values()]
        plain = all(kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds)
        self._in_order = len(kinds) if plain else -1

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the arguments by name, defaults filled in; raise TypeError where the function does not take them."""
        if not kwargs and len(args) == self._in_order:
            return dict(zip(self.names, args, strict=True))
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments


class KeyTemplate:
    """A compiled template such as "{site}:{q}"; without one, all parameters by name make the key."""

    def __init__(self, template: str | None, call: Call, *, prefix: str | None = None) -> None:
        """Compile `template` for `call`; raise DeclarationError where it cannot tell calls apart.

        Each key begins with `prefix`, by default the function's name.
        """
        if template is None:
            self._refuse_self(call)
            template = ":".join(f"{name}={{{name}}}" for name in call.names)
        self.template = template
        self.call = call
        self.fields = tuple(_FIELD.findall(template))
        self._literals = tuple(_FIELD.split(template)[::2])
        self._prefix = f"{call.name}:" if prefix is None else prefix
        self._check()

    def _refuse_self(self, call: Call) -> None:
        if call.names and call.names[0] in ("self", "cls"):
            raise DeclarationError(f"{call.described} is a method, whose objects nothing tells apart; write key=")

    def _check(self) -> None:
        described = f"{self.call.described} has key={self.template!r}"
        for field in self.fields:
            if field not in self.call.names:
                raise DeclarationError(
                    f"{described}, but no parameter {field!r}; use {', '.join(self.call.names) or 'a plain text'}"
                )
        if any("{" in literal or "}" in literal for literal in self._literals):
            raise DeclarationError(f"{described} with an unpaired brace; balance it")
        for between in self._literals[1:-1]:
            if _BARE_CHARACTERS.fullmatch(between):
                raise DeclarationError(
                    f"{described}, in which two fields could run into each other; put a separator such as ':' between"
                )

    def of(self, arguments: Mapping[str, Any]) -> str:
        """Return the key of a call's arguments; raise InvalidKey where one of them can be in none."""
        parts = [self._prefix, self._literals[0]]
        for field, literal in zip(self.fields, self._literals[1:], strict=True):
            try:
                parts += (rendered(arguments[field]), literal)
            except (InvalidKey, RecursionError) as error:
                raise InvalidKey(f"{self.call.described} was given {field}=: {error}") from None
        return fitted("".join(parts))
