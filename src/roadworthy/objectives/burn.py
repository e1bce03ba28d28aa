"""Multi-window, multi-burn-rate alerting, as in chapter 5 of Google's Site Reliability Workbook.

An error budget is what an objective leaves: one of 99.9 % may fail one event in a thousand. A row pages where a share
of the period's budget is used up within a long window, and still is being used up in a short one, so that the alert
ends soon after its cause. It fires where the share of bad events is above `factor × (1 − objective)` in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from roadworthy.duration import days, hours, minutes
from roadworthy.objectives.spec import ObjectiveSpec, Severity

PERIOD = days(30)
"""The time over which an error budget is counted."""


@dataclass(frozen=True, slots=True)
class BurnRow:
    """One row of the table: `budget` is the share of the period's that is used up within `long` when it fires.

    It fires after the condition has held for `duration`.
    """

    budget: float
    long: timedelta
    short: timedelta
    severity: Severity
    duration: timedelta

    @property
    def factor(self) -> float:
        """How many times faster than evenly the budget is used up."""
        return self.budget * (PERIOD / self.long)

    def threshold(self, objective: float) -> float:
        """The share of bad events above which it fires, from 0; one of 1 and above never is."""
        return self.factor * (1 - objective)


ROWS = (
    BurnRow(0.02, hours(1), minutes(5), "critical", minutes(2)),
    BurnRow(0.05, hours(6), minutes(30), "critical", minutes(15)),
    BurnRow(0.10, days(1), hours(2), "warning", hours(1)),
    BurnRow(0.10, days(3), hours(6), "warning", hours(3)),
)
"""The usual rows, fastest first; the first two page."""


def rows(objective: ObjectiveSpec) -> tuple[BurnRow, ...]:
    """Return the rows that can fire for an objective: a share of bad events is never above 1."""
    return tuple(row for row in ROWS if row.threshold(objective.objective) < 1)


def unfireable(objective: ObjectiveSpec) -> tuple[BurnRow, ...]:
    """Return the rows that could never fire, however much failed."""
    return tuple(row for row in ROWS if row.threshold(objective.objective) >= 1)
