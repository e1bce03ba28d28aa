from __future__ import annotations

import pytest

from roadworthy.check.nearest import distance, nearest, suggestion


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [
        ("", "", 0),
        ("abc", "abc", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("abc", "abd", 1),
        ("abc", "acb", 1),
        ("abc", "abcd", 1),
        ("kitten", "sitting", 3),
        ("ca", "abc", 3),
    ],
)
def test_distance_counts_edits(left: str, right: str, edits: int) -> None:
    assert distance(left, right) == distance(right, left) == edits


def test_the_nearest_name_wins_and_a_far_one_is_none() -> None:
    assert nearest("serach", ["search", "reach", "sites"]) == "search"
    assert nearest("le", ["la", "lee"]) == "la"
    assert nearest("orders", ["queue_ready", "up"]) is None
    assert nearest("orders", []) is None


def test_a_suggestion_is_the_nearest_or_the_list() -> None:
    assert suggestion("pade", ["paid", "country"], "label") == "name one of: country, paid"
    assert suggestion("piad", ["paid", "country"], "label") == "did you mean 'paid'?"
    assert suggestion("x", [], "route") == "there is no route to name"
    assert suggestion("x", map(str, range(100, 120)), "value").endswith("111, ...")
