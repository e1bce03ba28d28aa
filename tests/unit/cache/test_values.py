"""Values as bytes and back, and what of them is shared."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.cache.record import Entry
from roadworthy.cache.values import ANY, Codec, handed_out, is_immutable
from roadworthy.errors import DeclarationError, InvalidValue


class Frozen(msgspec.Struct, frozen=True):
    n: int
    tags: tuple[str, ...] = ()


class Loose(msgspec.Struct):
    n: int


@dataclasses.dataclass(frozen=True)
class Record:
    n: int
    at: datetime


class Foreign: ...


class Outer(msgspec.Struct):
    inner: dict[str, list[Foreign | None]]


class Tree(msgspec.Struct):
    children: list[Tree]
    root: Tree | None = None


class Row(TypedDict):
    id: UUID


class Kind(Enum):
    A = "a"


def filled(codec: Codec, value: Any) -> Entry:
    entry = Entry(codec.encode(value), 1, 1.0, 1.0)
    assert codec.fill(entry)
    return entry


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Frozen, Frozen(1, ("a",))),
        (Record, Record(1, datetime(2026, 1, 1, tzinfo=UTC))),
        (tuple[int, ...], (1, 2)),
        (str, "text"),
        (Kind, Kind.A),
        (frozenset[int], frozenset((1, 2))),
        (None, None),
        (bytes, b"x"),
    ],
)
def test_an_immutable_value_is_shared(kind: Any, value: Any) -> None:
    entry = filled(Codec(kind), value)
    assert handed_out(entry) == value
    assert handed_out(entry) is handed_out(entry)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Loose, Loose(1)),
        (Row, {"id": UUID(int=1)}),
        (set[int], {1}),
        (list[Frozen], [Frozen(1)]),
        (dict[str, list[int]], {"a": [1]}),
        (tuple[list[int], int], ([1], 1)),
        (Any, {"a": {"b": 1}}),
    ],
)
def test_any_other_value_is_each_callers_own(kind: Any, value: Any) -> None:
    entry = filled(Codec(kind), value)
    assert handed_out(entry) == value
    assert handed_out(entry) is not handed_out(entry)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_nothing_mutable_is_ever_handed_out_twice(value: Any) -> None:
    entry = filled(ANY, value)
    first, second = handed_out(entry), handed_out(entry)
    assert first == second == value
    mine, others = set(_mutable(first)), set(_mutable(second))
    assert not mine & others


def _mutable(value: Any) -> list[int]:
    if isinstance(value, dict):
        return [id(value), *(one for inner in value.values() for one in _mutable(inner))]
    if isinstance(value, list):
        return [id(value), *(one for inner in value for one in _mutable(inner))]
    return []


def test_what_changed_its_type_is_no_value() -> None:
    assert not Codec(int).fill(Entry(ANY.encode("text"), 1, 1.0, 1.0))
    assert not ANY.fill(Entry(b"\xc1", 1, 1.0, 1.0))
    assert "Expected `int`" in str(Codec(int).refusal(Entry(ANY.encode("text"), 1, 1.0, 1.0)))


def test_what_cannot_be_carried_is_refused() -> None:
    class Custom: ...

    for kind in (
        list[int] | tuple[int, ...],
        Custom,
        list[Custom],
        tuple[int, Custom],
        dict[str, Custom | None],
        Outer,
    ):
        with pytest.raises(DeclarationError, match="which MessagePack cannot carry"):
            Codec(kind)
    Codec(Tree)
    for wrong in (Custom(), 2**70):
        with pytest.raises(InvalidValue, match="cannot be kept"):
            ANY.encode(wrong)
    assert not is_immutable(Custom())
