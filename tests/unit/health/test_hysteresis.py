from __future__ import annotations

import pytest

from roadworthy.health.hysteresis import Hysteresis


@pytest.mark.parametrize(
    ("failures", "successes", "looks", "failing"),
    [
        # F fails, P passes; below each look what is settled on after it.
        (1, 1, "PFPF", "PFPF"),
        (2, 2, "PFPFFPFPP", "PPPPFFFFP"),
        (3, 1, "PFFPFFFP", "PPPPPPFP"),
        (1, 3, "PFPPFPPP", "PFFFFFFP"),
        (2, 2, "FPPFF", "FFPPF"),
    ],
)
def test_it_takes_several_looks_in_a_row(failures: int, successes: int, looks: str, failing: str) -> None:
    hysteresis = Hysteresis(failures, successes)
    found = ""
    for look in looks:
        settled = hysteresis.note(look == "F")
        found += "F" if hysteresis.failing else "P"
        assert settled == (look == found[-1]), "a look is settled where it says what is settled on"
    assert found == failing


def test_a_streak_is_counted_and_broken() -> None:
    hysteresis = Hysteresis(3, 3)
    streaks = []
    for failed in (False, True, True, False, True, True, True, False):
        hysteresis.note(failed)
        streaks.append(hysteresis.streak)
    assert streaks == [0, 1, 2, 0, 1, 2, 0, 1]


def test_what_is_forgotten_is_settled_by_the_next_look() -> None:
    hysteresis = Hysteresis(5, 5)
    hysteresis.note(False)
    hysteresis.forget()
    assert hysteresis.note(True)
    assert hysteresis.failing
