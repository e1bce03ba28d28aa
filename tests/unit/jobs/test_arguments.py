"""A job's arguments, from the call that enqueues it to the call that runs it."""

from __future__ import annotations

import enum
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.errors import DeclarationError, InvalidArguments
from roadworthy.jobs.arguments import Arguments, UniqueKey


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


async def everything(
    when: datetime,
    wait: timedelta,
    id: uuid.UUID,
    price: Decimal,
    colour: Colour,
    point: Point,
    raw: bytes,
    tags: set[str],
    anything: Any = None,
    *,
    optional: int | None = None,
) -> None:
    """Take one of each."""


async def fetch(url: str, depth: int = 1) -> None:
    """Take two."""


def test_each_type_comes_back_as_itself() -> None:
    arguments = Arguments.of(everything)
    given_values = {
        "when": datetime(2030, 1, 1, tzinfo=UTC),
        "wait": timedelta(seconds=5),
        "id": uuid.UUID(int=7),
        "price": Decimal("1.10"),
        "colour": Colour.RED,
        "point": Point(1),
        "raw": b"\0\xff",
        "tags": {"a"},
        "anything": [1, "x"],
        "optional": 3,
    }
    assert arguments.decode(arguments.encode(arguments.bind(**given_values))) == given_values


def test_defaults_are_kept_as_they_were_when_enqueued() -> None:
    arguments = Arguments.of(fetch)
    assert arguments.required == ("url",)
    assert arguments.encode(arguments.bind("x")) == b'{"url":"x","depth":1}'
    assert arguments.decode(b'{"url":"x"}') == {"url": "x", "depth": 1}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "url"),
        ({"url": 1}, "url"),
        ({"url": "x", "depth": "deep"}, "depth"),
        ({"url": "x", "more": 1}, "more"),
        ({"url": "\ud800"}, "JSON cannot carry"),
        ({"url": object()}, "JSON cannot carry"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidArguments, match="fetch") as refused:
        Arguments.of(fetch).bind(**values)
    assert named in str(refused.value)


def test_a_number_that_json_would_lose_is_refused() -> None:
    async def weigh(kilograms: float) -> None: ...

    with pytest.raises(InvalidArguments, match="kilograms"):
        Arguments.of(weigh).bind(float("nan"))


@pytest.mark.parametrize("kept", [b'{"url":1}', b'{"depth":1}', b'{"url":"x","gone":1}', b"{"])
def test_arguments_that_no_longer_fit_say_so(kept: bytes) -> None:
    with pytest.raises(InvalidArguments, match="no longer fit"):
        Arguments.of(fetch).decode(kept)


def test_functions_that_cannot_be_jobs_are_refused() -> None:
    async def generator(x: int) -> AsyncIterator[int]:
        yield x

    async def spread(*urls: str) -> None: ...

    async def open_ended(**more: str) -> None: ...

    async def positional(x: int, /) -> None: ...

    async def unknown(x: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    for function, reason in (
        (generator, "is a generator"),
        (spread, "name each parameter"),
        (open_ended, "name each parameter"),
        (positional, "name each parameter"),
        (unknown, "cannot be resolved"),
    ):
        with pytest.raises(DeclarationError, match=reason):
            Arguments.of(function)


def test_an_unannotated_parameter_takes_anything() -> None:
    async def loose(x) -> None: ...  # type: ignore[no-untyped-def]

    arguments = Arguments.of(loose)
    assert arguments.decode(arguments.encode(arguments.bind([1]))) == {"x": [1]}


_values = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=3))


async def two(a: Any, b: Any) -> None:
    """Take two of anything."""


@given(first=st.tuples(_values, _values), second=st.tuples(_values, _values))
def test_unique_keys_collide_for_equal_arguments_alone(first: tuple[Any, Any], second: tuple[Any, Any]) -> None:
    key = UniqueKey("{a}:{b}", Arguments.of(two))
    same = repr(first) == repr(second)
    assert (key.of({"a": first[0], "b": first[1]}) == key.of({"a": second[0], "b": second[1]})) is same


def test_unique_keys_of_separators_and_of_types_differ() -> None:
    key = UniqueKey("{a}:{b}", Arguments.of(two))
    assert key.of({"a": "a:b", "b": "c"}) != key.of({"a": "a", "b": "b:c"})
    assert key.of({"a": 1, "b": 0}) != key.of({"a": "1", "b": 0})


def test_a_long_unique_key_fits_an_index() -> None:
    key = UniqueKey("{url}", Arguments.of(fetch))
    long, other = (key.of({"url": "x" * 10_000 + end}) for end in "ab")
    assert long != other
    assert len(long) < 100


@pytest.mark.parametrize(("template", "reason"), [("{uri}", "no parameter 'uri'"), ("{url", "unpaired brace")])
def test_a_unique_template_that_cannot_work_is_refused(template: str, reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        UniqueKey(template, Arguments.of(fetch))


def test_arguments_in_order_by_name_or_mixed_are_the_same() -> None:
    async def send(to: str, subject: str = "hello") -> None: ...

    arguments = Arguments.of(send)
    wanted = {"to": "ada", "subject": "hi"}
    for bound in (
        arguments.bind("ada", "hi"),
        arguments.bind(subject="hi", to="ada"),
        arguments.bind("ada", subject="hi"),
    ):
        assert bound == wanted
        assert list(bound) == ["to", "subject"]
    assert arguments.bind("ada") == {"to": "ada", "subject": "hello"}


def test_an_argument_that_goes_by_name_only_is_not_taken_in_order() -> None:
    async def send(to: str, *, subject: str) -> None: ...

    arguments = Arguments.of(send)
    assert arguments.bind("ada", subject="hi") == {"to": "ada", "subject": "hi"}
    with pytest.raises(InvalidArguments, match="takes"):
        arguments.bind("ada", "hi")
