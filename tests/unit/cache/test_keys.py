"""Keys of calls: readable, typed, never the same for two calls, the same in every process."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.cache.keys import Call, KeyTemplate, fitted, rendered
from roadworthy.cache.keys import given as given_key
from roadworthy.errors import DeclarationError, InvalidKey


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    ONE = 1


class Page(msgspec.Struct):
    n: int


@dataclasses.dataclass
class Other:
    n: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (-1, "-1"),
        (True, "True"),
        ("1", "'1'"),
        (1.0, "1.0"),
        (float("inf"), "inf"),
        ("inf", "'inf'"),
        (None, "None"),
        ("None", "'None'"),
        ("example.org/a-b_c", "example.org/a-b_c"),
        ("rust async", "'rust async'"),
        ("münchen", "'münchen'"),
        ("it's", r"'it\'s'"),
        ("a\nb", r"'a\nb'"),
        ("\x00\udc80", r"'\x00\udc80'"),
        ("", "''"),
        (b"\x01a", "<bytes 0161>"),
        (date(2026, 1, 2), "<date 2026-01-02>"),
        (datetime(2026, 1, 2, tzinfo=UTC), "<datetime 2026-01-02T00:00:00+00:00>"),
        (time(1, 2), "<time 01:02:00>"),
        (timedelta(seconds=90), "<timedelta 0 90 0>"),
        (UUID(int=1), "<UUID 00000000-0000-0000-0000-000000000001>"),
        (Decimal("1.0"), "<Decimal 1.0>"),
        (Path("/a b"), "<Path '/a b'>"),
        (Colour.RED, "<Colour.RED>"),
        (Level.ONE, "<Level.ONE>"),
        ((1, "a"), "(1,a)"),
        ([1, "a"], "[1,a]"),
        ({2, 1}, "{1,2}"),
        ({"b": 1, "a": None}, "{a=None,b=1}"),
        (Page(1), "<Page(n=1)>"),
        (Other(1), "<Other(n=1)>"),
    ],
)
def test_every_type_has_a_form_of_its_own(value: Any, text: str) -> None:
    assert rendered(value) == text


_plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.sampled_from(["1", "None", "True", "a:b", "'", "\\", "'a':'b'", "x", "xx", ":", "<date 2026-01-02>"]),
    st.binary(max_size=3),
    st.dates(),
    st.uuids(),
)
_values = st.recursive(
    _plain, lambda inner: st.one_of(st.lists(inner, max_size=3), st.tuples(inner, inner)), max_leaves=4
)


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b and repr(a) == repr(b))


def pair(a: Any, b: Any) -> None: ...


@given(_values, _values, _values, _values, st.sampled_from(["{a}:{b}", "x{a}x:{b}x", "{a} - {b}", None]))
def test_two_calls_never_share_a_key(a: Any, b: Any, c: Any, d: Any, template: str | None) -> None:
    key = KeyTemplate(template, Call(pair))
    first, second = key.of({"a": a, "b": b}), key.of({"a": c, "b": d})
    assert (first == second) == (_same(a, c) and _same(b, d))


def test_defaults_and_names_make_no_difference() -> None:
    def search(site: str, q: str = "all", *, page: int = 1) -> None: ...

    call = Call(search)
    key = KeyTemplate(None, call)
    keys = {
        key.of(call.bound(*how))
        for how in (
            (("a",), {}),
            (("a", "all"), {}),
            ((), {"site": "a", "q": "all", "page": 1}),
            ((), {"page": 1, "site": "a"}),
        )
    }
    assert keys == {"search:site=a:q=all:page=1"}
    assert KeyTemplate("{q}", call).of(call.bound(("x",), {})) == "search:all"
    assert KeyTemplate("front page", call).of(call.bound(("x",), {})) == "search:front page"


def test_all_of_a_functions_arguments_make_its_key() -> None:
    def total(*numbers: int, **named: int) -> None: ...

    call = Call(total)
    assert KeyTemplate(None, call).of(call.bound((1, 2), {"b": 1, "a": 2})) == "total:numbers=(1,2):named={a=2,b=1}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{site}{q}", "run into each other"),
        ("{site}x1{q}", "run into each other"),
        ("{site}:{other}", "no parameter 'other'"),
        ("{site", "unpaired brace"),
        ("site}", "unpaired brace"),
    ],
)
def test_a_template_that_cannot_tell_calls_apart_is_refused(template: str, reason: str) -> None:
    def search(site: str, q: str) -> None: ...

    with pytest.raises(DeclarationError, match=reason):
        KeyTemplate(template, Call(search))


def test_a_method_needs_a_template() -> None:
    def method(self: object, n: int) -> None: ...

    with pytest.raises(DeclarationError, match="method"):
        KeyTemplate(None, Call(method))
    assert KeyTemplate("{n}", Call(method)).of({"self": object(), "n": 1}) == "method:1"


def test_what_no_key_can_be_made_from_is_refused() -> None:
    def search(site: object) -> None: ...

    key = KeyTemplate(None, Call(search))
    endless: list[Any] = []
    endless.append(endless)
    for wrong in (object(), [object()], endless):
        with pytest.raises(InvalidKey, match="'search' was given site="):
            key.of({"site": wrong})
    for empty in ("", None, 1):
        with pytest.raises(InvalidKey, match="is no text"):
            given_key(empty)


def test_a_long_key_is_hashed_behind_a_readable_beginning() -> None:
    assert fitted("x" * 250) == "x" * 250
    long, longer = fitted("page:" + "x" * 250), fitted("page:" + "x" * 251)
    assert long != longer
    assert long.startswith("page:xxx")
    assert len(long) < 250
    assert fitted("a\nb").startswith("a")
    assert fitted("a\nb").isprintable()
    assert fitted("a\nb") != fitted("a\\nb")
    assert len(fitted("ü" * 200).encode()) < 1000


def test_a_key_is_the_same_in_every_process() -> None:
    script = (
        "from roadworthy.cache.keys import rendered, fitted;"
        "print(rendered({'b', 'a', 'c', 1}), rendered({'x': {3, 2}}), fitted('y' * 300))"
    )
    texts = {
        subprocess.check_output([sys.executable, "-c", script], env={"PYTHONHASHSEED": seed, "PATH": ""}, timeout=30)
        for seed in ("1", "2")
    }
    assert len(texts) == 1
