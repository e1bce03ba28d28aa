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
from roadworthy.objectives.burn import PERIOD, BurnRow, rows
from roadworthy.objectives.spec import AlertExample, ObjectiveSpec
from roadworthy.service import ServiceSpec
from roadworthy.telemetry.metrics import HTTP_REQUEST_DURATION, HTTP_REQUESTS
from roadworthy.telemetry.spec import bucket_label

EVENTS = "service_slo:events:rate5m"
BAD_EVENTS = "service_slo:bad_events:rate5m"
BUDGET = "service_slo:error_budget_remaining:ratio30d"

INTERVAL = timedelta(seconds=30)
"""How often rules are evaluated: the count of events in a window is a sum of rates, each for so long."""

_STEP = "5m"
_SCRAPES_MISSED = timedelta(minutes=10)

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
        yield {"record": ratio(window), "expr": _share(labels, window), "labels": labels}
    left = f"1 - ({_share(labels, PERIOD)}) / {_number(1 - objective.objective)}"
    yield {"record": BUDGET, "expr": left, "labels": labels}


def burn_alerts(objective: ObjectiveSpec, spec: ServiceSpec) -> Iterator[Alert]:
    """Yield the alerts of one objective: one for each row that can fire, and one for events that are not measured."""
    name = "".join(part.capitalize() for part in objective.name.split("-"))
    for row in rows(objective):
        yield _burning(objective, spec.name, name, row)
    labels = {"service": spec.name, "slo": objective.name}
    up = selected("up", {"service": spec.name})
    measured = _events(objective, spec.name, bad=0)
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
    events = f"sum_over_time({selected(EVENTS, labels)}[{written(row.long)}]) * {INTERVAL.total_seconds():g}"
    expression = (
        f"{selected(ratio(row.long), labels)} > {threshold}\n"
        f"and {selected(ratio(row.short), labels)} > {threshold}\n"
        f"and {events} >= {objective.minimum_events}"
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
        f"Which route fails, and since when? Look at the last deploy first: rolling back is faster than understanding. "
        f"Then at what {objective.name} depends on: database, caches, dependencies.",
        labels={"slo": objective.name, "long": written(row.long), "short": written(row.short)},
        example=AlertExample(
            _events(objective, service, bad=1),
            _events(objective, service, bad=0.9 * row.threshold(objective.objective)),
            INTERVAL,
            {},
            {"{{ $value | humanizePercentage }}": "100%"},
        ),
    )


def _events(objective: ObjectiveSpec, service: str, *, bad: float) -> dict[str, str]:
    """Return the series of an example in which so large a share of 600 events in each scrape is bad."""
    labels = {"service": service}
    method, route = objective.route_parts or ("GET", "/")
    requested = labels | {"method": method, "route": route}
    failing, fine = _number(600 * bad), _number(600 * (1 - bad))
    if objective.under is None:
        return {
            selected(HTTP_REQUESTS.name, requested | {"status": "500"}): f"0+{failing}x2000",
            selected(HTTP_REQUESTS.name, requested | {"status": "200"}): f"0+{fine}x2000",
        }
    metric = objective.metric or HTTP_REQUEST_DURATION.name
    of = requested if objective.metric is None else labels
    within = of | {"le": bucket_label(objective.under.total_seconds())}
    return {
        selected(f"{metric}_bucket", within): f"0+{fine}x2000",
        selected(f"{metric}_count", of): "0+600x2000",
    }


def _share(labels: dict[str, str], window: timedelta) -> str:
    if window == timedelta(minutes=5):
        return f"{selected(BAD_EVENTS, labels)} / ({selected(EVENTS, labels)} > 0)"
    length = written(window)
    bad = f"sum_over_time({selected(BAD_EVENTS, labels)}[{length}])"
    return f"{bad} / (sum_over_time({selected(EVENTS, labels)}[{length}]) > 0)"


def _number(value: float) -> str:
    """Return a number without the noise of binary fractions: 0.0144, not 0.014400000000000013."""
    return f"{value:.12g}"
