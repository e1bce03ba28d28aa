"""What is counted of an activity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Figures:
    """Who is active: in a day, a week, thirty days; the shares that came back after 1 to 4 weeks, and that left."""

    day: int
    week: int
    month: int
    retention: tuple[float, ...]
    churn: float


@dataclass(frozen=True, slots=True)
class Day:
    """One day: how many were active on it, and for how many of them it was the first."""

    day: date
    active: int
    new: int


@dataclass(frozen=True, slots=True)
class Cohort:
    """Those who came first in the week from the Monday `week`, and how many of them were active 1 to 4 weeks later.

    None stands for a week that is not over yet.
    """

    week: date
    size: int
    returned: tuple[int | None, ...]


def share(part: int, whole: int) -> float:
    """Return a share, NaN of nobody."""
    return part / whole if whole else math.nan


def monday(day: date) -> date:
    """Return the Monday of a day's week."""
    return day - timedelta(days=day.weekday())
