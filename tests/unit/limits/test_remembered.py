from __future__ import annotations

from roadworthy.limits.fixed_window import Window
from roadworthy.limits.remembered import LONGEST_KEY, Remembered, fitted


def test_never_more_keys_are_held_than_it_was_told() -> None:
    remembered: Remembered[float] = Remembered(50)
    for number in range(1000):
        remembered.add(f"key {number}", 10_000.0 + number, now=0.0)
        assert len(remembered) <= 50
    assert remembered.evictions == 950


def test_what_has_ended_goes_before_what_counts() -> None:
    remembered: Remembered[float] = Remembered(10)
    for number in range(5):
        remembered.add(f"counts {number}", 100.0, now=0.0)
        remembered.add(f"ended {number}", 1.0, now=0.0)
    for number in range(5):
        remembered.add(f"new {number}", 100.0, now=2.0)
    assert remembered.evictions == 0
    assert {f"counts {number}" for number in range(5)} <= remembered.held.keys()


def test_keys_in_use_are_about_all_that_is_held() -> None:
    remembered: Remembered[float] = Remembered(100_000)
    for number in range(20_000):
        now = float(number)
        remembered.add(f"key {number}", now + 1.0, now)
    assert len(remembered) < 200
    assert remembered.evictions == 0


def test_who_used_most_is_not_forgotten_for_a_crowd_of_new_keys() -> None:
    remembered: Remembered[float] = Remembered(1000)
    remembered.add("greedy", 60.0, now=0.0)
    for number in range(20_000):
        remembered.add(f"crowd {number}", 0.6, now=0.0)
    assert "greedy" in remembered.held
    assert remembered.evictions > 18_000


def test_among_those_that_end_together_the_least_used_goes() -> None:
    remembered: Remembered[Window] = Remembered(100)
    remembered.add("greedy", Window(60.0, 100), now=0.0)
    for number in range(5000):
        remembered.add(f"crowd {number}", Window(60.0, 1), now=0.0)
    assert "greedy" in remembered.held


def test_a_store_of_one_key_holds_the_last() -> None:
    remembered: Remembered[float] = Remembered(1)
    remembered.add("one", 5.0, now=0.0)
    remembered.add("two", 5.0, now=0.0)
    assert list(remembered.held) == ["two"]


def test_a_long_key_is_replaced_by_a_short_one_of_its_own() -> None:
    longest = "k" * LONGEST_KEY
    assert fitted(longest) == longest
    assert len(fitted(longest + "1")) < LONGEST_KEY
    assert fitted(longest + "1") != fitted(longest + "2")
    assert fitted("\ud800" * 500) == fitted("\ud800" * 500)
