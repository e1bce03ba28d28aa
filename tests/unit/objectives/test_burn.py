from __future__ import annotations

from datetime import timedelta

import pytest

from roadworthy.objectives.burn import PERIOD, ROWS, rows, unfireable
from roadworthy.objectives.spec import ObjectiveSpec


@pytest.mark.parametrize(("row", "factor"), list(zip(ROWS, (14.4, 6, 3, 1), strict=True)))
def test_the_factors_are_those_of_the_workbook(row: object, factor: float) -> None:
    assert getattr(row, "factor") == pytest.approx(factor)  # noqa: B009


@pytest.mark.parametrize("row", ROWS)
def test_at_its_threshold_a_row_uses_up_its_share_of_the_budget(row: object) -> None:
    (found,) = (known for known in ROWS if known is row)
    for objective in (0.9, 0.99, 0.999):
        allowed = (1 - objective) * PERIOD.total_seconds()
        used = found.threshold(objective) * found.long.total_seconds()
        assert used / allowed == pytest.approx(found.budget)
        assert timedelta(0) < found.short < found.long


def test_a_row_that_more_than_everything_would_have_to_fail_for_is_left_out() -> None:
    low = ObjectiveSpec("low", 0.93)
    assert [row.long for row in unfireable(low)] == [timedelta(hours=1)]
    assert rows(low) == ROWS[1:]
    assert rows(ObjectiveSpec("high", 0.9999)) == ROWS
    assert rows(ObjectiveSpec("lowest", 0.01))[-1] is ROWS[-1]
