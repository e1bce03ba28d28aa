"""Every metric of activities. A share of nobody is NaN: there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadworthy.telemetry.spec import Label, MetricSpec

if TYPE_CHECKING:
    from roadworthy.activity.figures import Figures
    from roadworthy.telemetry.registry import MetricRegistry

WINDOWS = ("day", "week", "month")
WEEKS = ("1", "2", "3", "4")

_ACTIVITY = Label("activity")

ACTIVE = MetricSpec(
    "active_users",
    "gauge",
    "How many were active today, in the 7 days up to today, and in the 30 (UTC).",
    (_ACTIVITY, Label("window", WINDOWS)),
    across="max",
)
RETENTION = MetricSpec(
    "retention_ratio",
    "gauge",
    "Share of those who came first so many weeks before the last whole week (from Monday, UTC) and were active in it.",
    (_ACTIVITY, Label("weeks", WEEKS)),
    across="max",
)
CHURN = MetricSpec(
    "churn_ratio",
    "gauge",
    "Share of those active in the 30 days before the last 30 who were not active since.",
    (_ACTIVITY,),
    across="max",
)
DROPPED = MetricSpec(
    "activity_dropped_total",
    "counter",
    "Sightings that were not kept, since the database was away and too many waited for it.",
    (_ACTIVITY,),
)

CATALOGUE: tuple[MetricSpec, ...] = (ACTIVE, RETENTION, CHURN, DROPPED)


def tell(registry: MetricRegistry, activity: str, figures: Figures) -> None:
    """Have `registry` tell of an activity what is known now."""
    for window, count in zip(WINDOWS, (figures.day, figures.week, figures.month), strict=True):
        registry.bound(ACTIVE).labels(activity, window).set(count)
    for weeks, share in zip(WEEKS, figures.retention, strict=True):
        registry.bound(RETENTION).labels(activity, weeks).set(share)
    registry.bound(CHURN).labels(activity).set(figures.churn)
