from __future__ import annotations

import math

import pytest

from roadworthy.objectives.budget import Budget


@pytest.mark.parametrize(
    ("remaining", "bad", "state"),
    [
        (1.0, 0.0, "kept"),
        (0.4, 0.001, "kept"),
        (0.4, 0.0011, "burning"),
        (0.0, 0.0, "spent"),
        (-9.0, 0.01, "spent"),
        (None, 0.0, "not measured"),
        (math.nan, None, "not measured"),
        (0.7, None, "kept"),
    ],
)
def test_the_state_of_a_promise(remaining: float | None, bad: float | None, state: str) -> None:
    assert Budget("availability", 0.999, remaining, bad).state == state


def test_a_burn_rate_of_one_uses_up_the_budget_in_its_period() -> None:
    assert Budget("availability", 0.99, 0.5, 0.01).burn_rate == pytest.approx(1)
    assert Budget("availability", 0.99, 0.5, None).burn_rate is None
