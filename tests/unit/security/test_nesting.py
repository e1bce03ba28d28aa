"""How deeply JSON is nested, in whatever parts it comes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.security.nesting import Nesting, TooDeep

texts = st.text(alphabet='ab[]{}"\\ü', max_size=6)
documents = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max((depth_of(each) for each in inner), default=0)


@given(documents, st.lists(st.integers(0, 200), max_size=4))
def test_it_is_as_deep_as_the_parser_finds(document: Any, cuts: list[int]) -> None:
    text = json.dumps(document).encode()
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[begin:end] for begin, end in pairwise(places)]
    depth = depth_of(document)
    for most in {max(depth, 1), max(depth - 1, 1)}:
        nesting = Nesting(most)
        try:
            for number, part in enumerate(parts, 1):
                nesting.feed(part, last=number == len(parts))
            found = True
        except TooDeep:
            found = False
        assert found == (depth <= most)


@given(st.binary(max_size=200))
def test_what_is_no_json_breaks_nothing_and_is_refused_for_its_brackets_alone(text: bytes) -> None:
    nesting = Nesting(2)
    try:
        for number in range(3):
            nesting.feed(text, last=number == 2)
    except TooDeep:
        assert b"[" in text or b"{" in text


@pytest.mark.parametrize("text", [b"[" * 65, b'{"a":' * 65, b'["' + b"[" * 90 + b'",' + b"[" * 64])
def test_too_deep(text: bytes) -> None:
    with pytest.raises(TooDeep, match="more than 64"):
        Nesting(64).feed(text, last=True)
