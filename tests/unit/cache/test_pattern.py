"""Patterns of names."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.cache.pattern import compiled, literal_head


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_stars_and_question_marks_are_those_of_a_shell(pattern: str, text: str) -> None:
    assert bool(compiled(pattern).match(text)) == fnmatch.fnmatchcase(text, pattern)


@given(st.text(max_size=10), st.text(max_size=5))
def test_everything_else_stands_for_itself(text: str, more: str) -> None:
    pattern = text.replace("*", "").replace("?", "")
    assert compiled(pattern).match(pattern)
    assert compiled(f"{pattern}*").match(pattern + more)
    assert compiled(f"*{pattern}").match(more + pattern)
    assert bool(compiled(pattern).match(pattern + more)) == (more == "")


@pytest.mark.parametrize(
    ("pattern", "head"), [("", ""), ("*", ""), ("a:b", "a:b"), ("a:*b*", "a:"), ("a?*", "a"), ("[x]*", "[x]")]
)
def test_the_head_is_what_comes_before_the_first_wildcard(pattern: str, head: str) -> None:
    assert literal_head(pattern) == head


def test_many_stars_take_no_time_that_explodes() -> None:
    # Tried with backtracking, this would outlast the universe.
    assert compiled("*a" * 40 + "*b").match("a" * 1000) is None
    assert compiled("*a" * 40 + "*").match("a" * 1000)
    assert isinstance(compiled("*"), re.Pattern)
