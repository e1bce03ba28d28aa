"""Of the words that look alike, the likeliest is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitesearch.search.spelling import correct, distance, edits, tolerance

WORDS = st.text("abcd", max_size=8)


@pytest.mark.parametrize(
    ("left", "right", "mistakes"),
    [
        ("", "", 0),
        ("pythn", "python", 1),
        ("lst", "list", 1),
        ("gahter", "gather", 1),
        ("abc", "xyz", 3),
        ("", "ab", 2),
    ],
)
def test_distance(left: str, right: str, mistakes: int) -> None:
    assert distance(left, right) == mistakes


@given(WORDS, WORDS)
def test_distance_is_symmetric_and_bounded(left: str, right: str) -> None:
    found = distance(left, right)
    assert found == distance(right, left)
    assert abs(len(left) - len(right)) <= found <= max(len(left), len(right))
    assert (found == 0) == (left == right)


def test_the_most_widespread_neighbour_wins() -> None:
    assert correct("pythn", 0, [("python", 400), ("pythia", 2)]) == "python"
    assert correct("lst", 0, [("list", 300), ("last", 90), ("est", 40)]) == "list"


def test_fewer_mistakes_outweigh_more_pages() -> None:
    assert correct("gathr", 0, [("gather", 10), ("father", 150)]) == "gather"


def test_a_doubled_letter_is_the_slightest_mistake() -> None:
    assert correct("leter", 0, [("later", 20), ("letter", 9)]) == "letter"


def test_a_word_that_is_there_is_doubted_only_against_a_far_commoner_one() -> None:
    assert correct("comp", 10, [("come", 150)]) is None
    assert correct("comp", 1, [("come", 150)]) == "come"


def test_nothing_likely_is_no_correction() -> None:
    assert correct("xq", 0, [("xy", 50)]) is None
    assert correct("python", 0, [("java", 500), ("python3", 500)]) is None
    assert tolerance("ab") == 0


def test_edits_are_all_that_is_one_mistake_away() -> None:
    found = edits("lst")
    assert {"list", "last", "st", "lts", "lsx"} <= set(found)
    assert "lst" not in found
    assert {distance("lst", edit) for edit in found} == {1}
