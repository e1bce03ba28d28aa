"""Tags: lowercase visible ASCII without comma or space, whatever their text was."""

from __future__ import annotations

import enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.cache.tags import EVERYTHING, TagTemplate, tag_of
from roadworthy.errors import DeclarationError, InvalidKey


class Kind(enum.Enum):
    A = "first"


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("site:example.org", "site:example.org"),
        ("Site:A", "%53ite:%41"),
        ("a b,c", "a%20b%2cc"),
        ("ü", "%c3%bc"),
        ("100%", "100%25"),
        ("*", "%2a"),
        ("\udc80\n", "%ed%b2%80%0a"),
    ],
)
def test_what_does_not_fit_is_escaped(text: str, tag: str) -> None:
    assert tag_of(text) == tag


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_texts_never_share_a_tag_not_even_without_case(one: str, other: str) -> None:
    assert (tag_of(one).lower() == tag_of(other).lower()) == (one == other)
    assert tag_of(one) != EVERYTHING
    assert all("!" <= character <= "~" and character not in ", " for character in tag_of(one))
    assert len(tag_of(one)) <= 250


def test_a_long_tag_is_hashed() -> None:
    assert len(tag_of("x" * 1000)) <= 250
    assert tag_of("x" * 1000) != tag_of("x" * 1001)
    with pytest.raises(InvalidKey, match="empty"):
        tag_of("")


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("a", "page:a"),
        (1, "page:1"),
        (None, "page:%4eone"),
        (UUID(int=0), f"page:{UUID(int=0)}"),
        (Kind.A, "page:first"),
    ],
)
def test_a_template_takes_an_argument_as_text(value: Any, tag: str) -> None:
    assert TagTemplate("page:{page}", ["page"], "show").of({"page": value}) == tag


def test_a_template_that_cannot_work_is_refused() -> None:
    for template, reason in (("{other}", "no parameter 'other'"), ("{page", "unpaired"), ("", "empty")):
        with pytest.raises(DeclarationError, match=reason):
            TagTemplate(template, ["page"], "show")
    with pytest.raises(InvalidKey, match="no tag can be made from page="):
        TagTemplate("{page}", ["page"], "show").of({"page": [1]})
