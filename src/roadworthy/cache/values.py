"""Values as bytes and back: MessagePack by the loader's annotation, and how a kept value is handed out.

What is handed out is always what was encoded, to the first caller as to every later one, and no caller can change what
the next one gets: an immutable value is shared, a flat dict, list or set is copied, anything else is decoded anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import msgspec.inspect

from roadworthy.cache.record import Entry
from roadworthy.errors import DeclarationError, InvalidValue

_IMMUTABLE = frozenset((str, int, float, bool, type(None), bytes, datetime, date, time, timedelta, Decimal, UUID))
_COPIED: dict[type, Callable[[Any], Any]] = {dict: dict.copy, list: list.copy, set: set.copy}
_encode = msgspec.msgpack.Encoder().encode


class Codec:
    """Encodes and decodes values of one type."""

    def __init__(self, kind: Any = Any, what: str = "a cached value") -> None:
        """Compile for `kind`, `what` being of that type; raise DeclarationError where MessagePack cannot carry it."""
        self.kind = kind
        self._what = what
        try:
            self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(kind).decode
            unknown = _unknown(msgspec.inspect.type_info(kind), set())
        except TypeError as error:
            unknown = str(error)
        if unknown is not None:
            raise DeclarationError(
                f"{what} is annotated as {kind}, which MessagePack cannot carry: {unknown}; use a msgspec.Struct, a "
                "dataclass, a TypedDict or a built-in type"
            )

    def encode(self, value: Any) -> bytes:
        """Return a value as MessagePack; raise InvalidValue where it is not of the type."""
        try:
            return _encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidValue(f"{self._what} cannot be kept: {error}; return what MessagePack can carry") from None

    def fill(self, entry: Entry) -> bool:
        """Decode an entry's data for handing out; False where it is not of the type, as after a change of that."""
        try:
            value = self._decode(entry.data)
        except msgspec.MsgspecError:
            return False
        entry.codec = self
        copy = _COPIED.get(type(value))
        if copy is not None and _all_immutable(_members(value)):
            entry.value, entry.copy = value, copy
        elif copy is None and is_immutable(value):
            entry.value, entry.copy = value, None
        else:
            entry.value, entry.copy = entry.data, self._decode
        return True

    def refusal(self, entry: Entry) -> InvalidValue:
        """Return the error of a loaded value whose data is not of the type."""
        try:
            self._decode(entry.data)
        except msgspec.MsgspecError as error:
            return InvalidValue(f"{self._what} is annotated as {self.kind}, but is not that: {error}; correct one")
        raise AssertionError(self.kind)


def _unknown(part: Any, seen: set[int]) -> str | None:
    """Return what within a type msgspec would need to be told about, None where it knows all of it."""
    if isinstance(part, msgspec.inspect.CustomType):
        return f"{part.cls.__qualname__} is no type that it knows"
    if isinstance(part, tuple):
        return next(filter(None, (_unknown(inner, seen) for inner in part)), None)
    if not isinstance(part, msgspec.inspect.Type | msgspec.inspect.Field) or id(part) in seen:
        return None
    # A type may hold itself.
    seen.add(id(part))
    names = ("fields", "item_types", "item_type", "key_type", "value_type", "types", "type")
    return next(filter(None, (_unknown(getattr(part, name, None), seen) for name in names)), None)


ANY = Codec()
"""For values without an annotation: they come back as MessagePack knows them, tuples as lists and objects as dicts."""


def handed_out(entry: Entry) -> Any:
    """Return the value of a filled entry, which the caller may do with as it likes."""
    return entry.value if entry.copy is None else entry.copy(entry.value)


def is_immutable(value: Any) -> bool:
    """Return whether nothing within a decoded value can be changed."""
    kind = type(value)
    if kind in _IMMUTABLE or isinstance(value, Enum):
        return True
    if kind is tuple or kind is frozenset:
        return all(map(is_immutable, value))
    if isinstance(value, msgspec.Struct):
        frozen = value.__struct_config__.frozen
        return frozen and all(is_immutable(getattr(value, name)) for name in value.__struct_fields__)
    if dataclasses.is_dataclass(value):
        parameters = getattr(value, "__dataclass_params__")  # noqa: B009 (mypy does not know it)
        return bool(parameters.frozen) and all(
            is_immutable(getattr(value, field.name)) for field in dataclasses.fields(value)
        )
    return False


def _all_immutable(values: Any) -> bool:
    return _IMMUTABLE.issuperset(map(type, values)) or all(map(is_immutable, values))


def _members(value: Any) -> Any:
    return value.values() if type(value) is dict else value
