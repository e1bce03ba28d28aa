from __future__ import annotations

from typing import Any

import pytest

from roadworthy.edge.structured import Token, parse_dictionary


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("", {}),
        ("  a=1  ", {"a": 1}),
        ("a=1, b=-2.5,c", {"a": 1, "b": -2.5, "c": True}),
        ("a=?0,\tb=?1", {"a": False, "b": True}),
        ('a="x\\"y\\\\"', {"a": 'x"y\\'}),
        ("a=tok/en:*", {"a": Token("tok/en:*")}),
        ("a=:aGk=:", {"a": ":aGk=:"}),
        ('a=@12, b=%"%c3%bc"', {"a": "@12", "b": '%"%c3%bc"'}),
        ("a=1;x=2;y, b;z=?0", {"a": 1, "b": True}),
        ('a=(1 2  "x";q=1);p, b=()', {"a": (1, 2, "x"), "b": ()}),
        ("a=1, a=2", {"a": 2}),
        ("*a.b-c_d=1", {"*a.b-c_d": 1}),
    ],
)
def test_what_is_well_formed(text: str, members: dict[str, Any]) -> None:
    assert parse_dictionary(text) == members


@pytest.mark.parametrize(
    "text",
    [
        "A=1", "a=", "a =1", "a= 1", "a=1,", "a=1 b", "a=1,,b", ",a", "1a", "&", "a=1234567890123456", "a=1.2345",
        'a="x', "a=(1", "a=(1,2)", 'a=(1"x")', "a=?2", "a=1;X", "a=1;=1", 'a="\x7f"', "a=\xfc",
    ],
)  # fmt: skip
def test_what_is_not_is_nothing_at_all(text: str) -> None:
    assert parse_dictionary(text) is None
