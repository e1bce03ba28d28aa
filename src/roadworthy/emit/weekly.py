"""Rules that hold the present against the week before, in a group of their own that is looked at less often."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from roadworthy.activity.metrics import ACTIVE, CHURN
from roadworthy.activity.spec import ActivitySpec
from roadworthy.duration import days, hours, minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.durations import written
from roadworthy.emit.indicator import one_of, selected
from roadworthy.objectives.spec import AlertExample
from roadworthy.objectives.weekly import EVERY, DriftSpec, LowSpec
from roadworthy.service import ServiceSpec

MEASURE = "service_quality:measure:mean30m"

_WEEK = days(7)
_HISTORY = days(1)
_STEPS_AN_HOUR = hours(1) // EVERY

Rule = Mapping[str, str | Mapping[str, str]]


def weekly_rules(spec: ServiceSpec) -> Iterator[Rule]:
    """Yield what is recorded of each measure of quality."""
    for drift in spec.drifts:
        labels = {"service": spec.name, "metric": drift.metric.name}
        yield {"record": MEASURE, "expr": _measure(drift, spec.name), "labels": labels}


def weekly_alerts(spec: ServiceSpec) -> Iterator[Alert]:
    """Yield the alerts on counters that fall and measures that drift."""
    for low in spec.lows:
        yield _low(low, spec.name)
    for drift in spec.drifts:
        yield _drift(drift, spec.name)
    for activity in spec.activities:
        yield _few_active(activity, spec.name)
        yield _many_leave(activity, spec.name)


def _low(low: LowSpec, service: str) -> Alert:
    counter = selected(low.metric.name, {"service": service}, *one_of(low.where))
    before = f"sum(increase({counter}[1h] offset 1w))"
    example = {label: values[0] for label, values in low.where.items()}
    # A week and two hours as always, and then less.
    usual = (_WEEK + hours(2)) // EVERY
    few = math.floor(_STEPS_AN_HOUR * (1 - low.below)) + 1
    step = 100 * low.floor
    reached, half = usual * step, math.ceil(step * low.below * 1.01)
    series = selected(low.metric.name, {"service": service} | example)
    return Alert(
        low.name,
        # A series that is gone has no rate, and would be low for nobody.
        f"(sum(increase({counter}[1h])) or vector(0)) < {low.below:g} * {before}\nand {before} >= {low.floor}",
        low.duration,
        low.severity,
        low.summary,
        f"{low.summary}: in the last hour less than {low.below:.0%} of the same hour a week ago.".replace("%", " %"),
        low.runbook,
        example=AlertExample(
            {series: f"0+{step}x{usual} {reached}x60"},
            {series: f"0+{step}x{usual} {reached + half}+{half}x60"},
            EVERY * (usual + few),
        ),
        every=EVERY,
    )


def _few_active(activity: ActivitySpec, service: str) -> Alert:
    day = selected(ACTIVE.name, {"service": service, "activity": activity.name, "window": "day"})
    before, usual = f"max({day} offset 1w)", (_WEEK + hours(2)) // EVERY
    return Alert(
        "LowDailyActiveUsers",
        # Days begin at midnight UTC for both, so the same hour counts as many hours.
        f"max({day}) < 0.5 * {before}\nand {before} >= {activity.floor}",
        hours(1),
        "business",
        f"Less than half as many {activity.name} are active as a week ago",
        f"Up to this hour of the day less than half as many {activity.name} were active as a week ago.",
        "Can people get in, and do what they come for? Try it. Was what notes them (`seen`) lost in a deploy, or is "
        "the day a holiday? Does the scheduler run, which counts them?",
        labels={"activity": activity.name},
        example=AlertExample(
            {day: f"{2 * activity.floor}x{usual} {activity.floor - 1}x60"},
            {day: f"{2 * activity.floor}x{usual} {activity.floor}x60"},
            EVERY * (usual + 1),
        ),
        every=EVERY,
    )


def _many_leave(activity: ActivitySpec, service: str) -> Alert:
    churn = selected(CHURN.name, {"service": service, "activity": activity.name})
    month = selected(ACTIVE.name, {"service": service, "activity": activity.name, "window": "month"})
    fewest = f"{activity.floor}x400"
    return Alert(
        "HighChurnRate",
        f"max({churn}) > 0.5\nand max({month}) >= {activity.floor}",
        days(1),
        "business",
        f"More than half of the {activity.name} have left",
        f"Of the {activity.name} who were active a month before, {{{{ $value | humanizePercentage }}}} were not since.",
        "Compare the cohorts (retention_ratio): do all leave, or those who came lately? Look at releases, prices and "
        "whom a campaign has brought in the month before.",
        labels={"activity": activity.name},
        example=AlertExample(
            {churn: "0.51x400", month: fewest},
            {churn: "0.5x400", month: fewest},
            rendered={"{{ $value | humanizePercentage }}": "51%"},
        ),
        every=EVERY,
    )


def _measure(drift: DriftSpec, service: str) -> str:
    labels = {"service": service}
    by = f" by ({', '.join(drift.metric.label_names)}) " if drift.metric.labels else ""
    if drift.metric.kind == "gauge":
        return f"max{by}({selected(drift.metric.name, labels)} != 0)"
    total, count = (selected(f"{drift.metric.name}_{part}", labels) for part in ("sum", "count"))
    return (
        f"sum{by}(rate({total}[30m])) / (sum{by}(rate({count}[30m])) > 0)\n"
        f"and sum{by}(increase({count}[30m])) >= {drift.minimum}"
    )


def _drift(drift: DriftSpec, service: str) -> Alert:
    name = drift.metric.name
    measure = selected(MEASURE, {"service": service, "metric": name})
    week = f"{measure}[{written(_WEEK)}]"
    distance = f"abs({measure} - avg_over_time({week}))"
    return Alert(
        "QualityDrift",
        f"{distance} > {drift.deviations:g} * stddev_over_time({week})\n"
        f"and {distance} > {drift.tolerance:g} * abs(avg_over_time({week}))\n"
        f"and count_over_time({week}) >= {_HISTORY // EVERY}",
        minutes(30),
        "warning",
        f"{name} is not what it was",
        f"{name} is further than {drift.deviations:g} standard deviations from its mean of the last week.",
        drift.runbook,
        labels={"metric": name},
        example=_drifting(drift, service),
        every=EVERY,
    )


def _drifting(drift: DriftSpec, service: str) -> AlertExample:
    """Return a day and more of 70, and then of 10, or 69."""
    usual = _HISTORY // EVERY + 12
    labels = dict.fromkeys(drift.metric.label_names, "one")
    of = {"service": service} | labels
    name = drift.metric.name
    if drift.metric.kind == "gauge":
        gauge = selected(name, of)
        fires, quiet = ({gauge: f"70x{usual} {value}x60"} for value in (10, 69))
    else:
        total, count = selected(f"{name}_sum", of), selected(f"{name}_count", of)
        step, steps = drift.minimum, usual + 60
        fires, quiet = (
            {
                count: f"0+{step}x{steps}",
                total: f"0+{70 * step}x{usual} {70 * step * usual + value * step}+{value * step}x60",
            }
            for value in (10, 69)
        )
    return AlertExample(fires, quiet, EVERY * (usual + 1), labels)
