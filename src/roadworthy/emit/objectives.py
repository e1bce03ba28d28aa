"""Objectives as Prometheus rules: what is recorded of each, and the alerts on how fast its error budget is used up.

Shares over long windows are sums of bad events by sums of all, never means of shares: an hour in which nobody came
would count as much as one in which everybody did. They come from what is recorded over five minutes, for a sum over
thirty days of raw series is dear.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from roadworthy.emit.alert import Alert
from roadworthy.emit.durations import written
from roadworthy.emit.indicator import indicator, selected
from roadworthy.emit.objective_example import events, seen_after
from roadworthy.objectives.burn import PERIOD, BurnRow, rows
from roadworthy.objectives.collection import SCRAPE_INTERVAL
from roadworthy.objectives.spec import AlertExample, ObjectiveKind, ObjectiveSpec
from roadworthy.service import ServiceSpec

EVENTS = "service_slo:events:rate5m"
BAD_EVENTS = "service_slo:bad_events:rate5m"
EVENTS_IN_PERIOD = "service_slo:events:increase30d"
BUDGET = "service_slo:error_budget_remaining:ratio30d"

INTERVAL = SCRAPE_INTERVAL
"""How often rules are evaluated: the count of events in a window is a sum of rates, each for so long."""

_STEP = "5m"
_SCRAPES_MISSED = timedelta(minutes=10)
_SPENT_FOR = timedelta(minutes=5)

_STEPS: Mapping[ObjectiveKind, str] = {
    "availability": "Which route fails, and since when?",
    "latency": "Which route is slow, and since when?",
    "job success": "`roadworthy jobs dead` groups what has failed for good by error: which is it, and since when?",
    "job latency": "Do workers run, and are they all busy (`roadworthy jobs`)? Is the queue paused, or its scaling at "
    "its upper bound (queue_desired_workers)?",
    "freshness": "When was it brought up to date last, and what does that: a job among the dead letters "
    "(`roadworthy jobs dead`), a schedule that does not fire, a dependency that does not answer?",
    "quality": "Which value has grown, and since when? What has changed for those who use it?",
}

Rule = Mapping[str, str | Mapping[str, str]]


def ratio(window: timedelta) -> str:
    """Return the name under which the share of bad events over a window is recorded."""
    return f"service_slo:bad_events:ratio_rate{written(window)}"


def recording_rules(objective: ObjectiveSpec, service: str) -> Iterator[Rule]:
    """Yield the recording rules of one objective: events, bad ones, their share over each window, the budget left."""
    labels = {"service": service, "slo": objective.name}
    counted = indicator(objective, service, _STEP)
    yield {"record": EVENTS, "expr": counted.total, "labels": labels}
    yield {"record": BAD_EVENTS, "expr": counted.bad, "labels": labels}
    windows = sorted({window for row in rows(objective) for window in (row.long, row.short)})
    for window in windows:
        yield {"record": ratio(window), "expr": _share(objective, labels, window), "labels": labels}
    interval = f"{INTERVAL.total_seconds():g}"
    yield {"record": EVENTS_IN_PERIOD, "expr": f"{_sum(EVENTS, labels, PERIOD)} * {interval}", "labels": labels}
    bad = f"{_sum(BAD_EVENTS, labels, PERIOD)} * {interval} / ({selected(EVENTS_IN_PERIOD, labels)} > 0)"
    yield {"record": BUDGET, "expr": f"1 - ({bad}) / {_number(1 - objective.objective)}", "labels": labels}


def burn_alerts(objective: ObjectiveSpec, spec: ServiceSpec) -> Iterator[Alert]:
    """Yield the alerts of one objective: one for each row that can fire, for a budget that is used up, and for events
    that are not measured.
    """
    name = "".join(part.capitalize() for part in objective.name.split("-"))
    for row in rows(objective):
        yield _burning(objective, spec.name, name, row)
    yield _spent(objective, spec.name, name)
    labels = {"service": spec.name, "slo": objective.name}
    up = selected("up", {"service": spec.name})
    measured = events(objective, spec.name, bad=0)
    yield Alert(
        f"{name}NotMeasured",
        f"absent({selected(EVENTS, labels)}) and on() max({up}) == 1",
        _SCRAPES_MISSED,
        "warning",
        f"Nothing is measured of the objective {objective.name}",
        f"The service is scraped, but the series that the objective {objective.name} counts are not there, so that no "
        "alert on it can fire.",
        "Ask /metrics for the series of the expression. A label may have been renamed: `roadworthy check` names what "
        "no longer exists. Emit and deploy the rules again.",
        labels={"slo": objective.name},
        example=AlertExample({up: "1x200"}, {up: "1x200", **measured}, timedelta(0)),
    )


def _burning(objective: ObjectiveSpec, service: str, name: str, row: BurnRow) -> Alert:
    labels = {"service": service, "slo": objective.name}
    threshold = _number(row.threshold(objective.objective))
    counted = f"{_sum(EVENTS, labels, row.long)} * {INTERVAL.total_seconds():g}"
    expression = (
        f"{selected(ratio(row.long), labels)} > {threshold}\n"
        f"and {selected(ratio(row.short), labels)} > {threshold}\n"
        f"and round({counted}) >= {objective.minimum_events}"
    )
    spent = f"{row.budget:.0%}".replace("%", " %")
    return Alert(
        f"{name}BudgetBurn",
        expression,
        row.duration,
        row.severity,
        f"{objective.name} uses up its error budget {row.factor:g} times too fast",
        f"{{{{ $value | humanizePercentage }}}} of the events of the last {written(row.long)} were bad, where "
        f"{_number((1 - objective.objective) * 100)} % may be: {spent} of thirty days' budget in {written(row.long)}.",
        f"{_STEPS[objective.kind]} Look at the last deploy first: rolling back is faster than understanding. "
        f"Then at what {objective.name} depends on: database, caches, dependencies.",
        labels={"slo": objective.name, "long": written(row.long), "short": written(row.short)},
        example=AlertExample(
            events(objective, service, bad=1),
            events(objective, service, bad=0.9 * row.threshold(objective.objective)),
            seen_after(objective),
            {},
            {"{{ $value | humanizePercentage }}": "100%"},
        ),
    )


def _spent(objective: ObjectiveSpec, service: str, name: str) -> Alert:
    labels = {"service": service, "slo": objective.name}
    spent = 1 - objective.objective
    return Alert(
        f"{name}BudgetSpent",
        f"{selected(BUDGET, labels)} <= 0\n"
        f"and round({selected(EVENTS_IN_PERIOD, labels)}) >= {objective.minimum_events}",
        _SPENT_FOR,
        "warning",
        f"{objective.name} has no error budget left",
        f"Over the last {PERIOD.days} days fewer than {_number(objective.objective * 100)} % of the events were good, "
        "so the promise is broken.",
        f"Put off what may break more, and mend first what {objective.name} lost its budget to: the alerts of the last "
        f"weeks say when that was. {_STEPS[objective.kind]}",
        labels={"slo": objective.name},
        example=AlertExample(
            events(objective, service, bad=1),
            events(objective, service, bad=0.99 * spent),
            seen_after(objective),
        ),
    )


def _share(objective: ObjectiveSpec, labels: dict[str, str], window: timedelta) -> str:
    # Rates are over five minutes themselves; looks at what is to be fresh are not.
    if window == timedelta(minutes=5) and objective.kind != "freshness":
        return f"{selected(BAD_EVENTS, labels)} / ({selected(EVENTS, labels)} > 0)"
    return f"{_sum(BAD_EVENTS, labels, window)} / ({_sum(EVENTS, labels, window)} > 0)"


def _sum(recorded: str, labels: dict[str, str], window: timedelta) -> str:
    return f"sum_over_time({selected(recorded, labels)}[{written(window)}])"


def _number(value: float) -> str:
    """Return a number without the noise of binary fractions: 0.0144, not 0.014400000000000013."""
    return f"{value:.12g}"
