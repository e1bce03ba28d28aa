"""Waits between attempts grow, and differ."""

from __future__ import annotations

from itertools import islice

from roadworthy.waits import growing_waits


def test_waits_double_up_to_the_longest() -> None:
    assert list(islice(growing_waits(0.1, 1.0, lambda: 0.0), 6)) == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_random_half_is_taken_off_at_most() -> None:
    assert list(islice(growing_waits(0.1, 1.0, lambda: 1.0), 3)) == [0.05, 0.1, 0.2]
