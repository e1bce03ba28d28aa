"""The board of what a service is for: the panels that it declares, and its own metrics that no panel shows yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from roadworthy.activity.metrics import ACTIVE, CHURN, RETENTION
from roadworthy.emit.dashboard import RATE_INTERVAL, Dashboard, Panel, Query, Row
from roadworthy.emit.dashboards.expressions import quantile, rate
from roadworthy.emit.indicator import selected
from roadworthy.objectives.panel import PanelSpec, Unit
from roadworthy.service import ServiceSpec
from roadworthy.telemetry.spec import MetricSpec

_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_UNITS: tuple[tuple[str, Unit], ...] = (
    ("_seconds", "s"),
    ("_bytes", "bytes"),
    ("_ratio", "percentunit"),
    ("_dollars", "currencyUSD"),
)
_MOST_VALUES = 10


def business_metrics(spec: ServiceSpec) -> Dashboard | None:
    """Return the board of a service's own panels and metrics, or None where it has neither."""
    declared = tuple(_declared(panel) for panel in spec.panels)
    shown = _shown(declared)
    others = tuple(_own(metric, spec.name) for metric in spec.metrics if not shown.intersection(metric.series_names))
    people = tuple(panel for activity in spec.activities for panel in _people(activity.name, spec.name))
    rows = (("What it is for", declared), ("Who comes, and comes back", people), ("What it counts", others))
    found = [Row(title, panels) for title, panels in rows if panels]
    return Dashboard("business", "Business metrics", tuple(found)) if found else None


def _shown(panels: Iterable[Panel]) -> set[str]:
    """Return the names in the panels' expressions; more than those of metrics, but none of a metric is left out."""
    return {name for panel in panels for query in panel.queries for name in _WORD.findall(query.expression)}


def _declared(panel: PanelSpec) -> Panel:
    return Panel(
        panel.name,
        tuple(Query(expression, legend) for legend, expression in panel.queries),
        unit=panel.unit,
        description=panel.description,
        alert=panel.alert,
        may_be_empty=panel.may_be_empty,
    )


def _people(activity: str, service: str) -> Iterator[Panel]:
    """Yield the panels of an activity: how many are active, which shares come back and which leave."""
    labels = {"service": service, "activity": activity}
    nobody = "Nobody came early enough to be counted."
    yield Panel(
        f"Active {activity}",
        (Query(f"max by (window) ({selected(ACTIVE.name, labels)})", "in a {{window}}"),),
        description=ACTIVE.help,
        alert="LowDailyActiveUsers",
        may_be_empty=nobody,
    )
    yield Panel(
        f"Share of new {activity} who come back",
        (Query(f"max by (weeks) ({selected(RETENTION.name, labels)})", "after {{weeks}} weeks"),),
        "percentunit",
        RETENTION.help,
        may_be_empty=nobody,
    )
    yield Panel(
        f"Share of {activity} who leave",
        (Query(f"max({selected(CHURN.name, labels)})", "left"),),
        "percentunit",
        CHURN.help,
        alert="HighChurnRate",
        may_be_empty=nobody,
    )


def _own(metric: MetricSpec, service: str) -> Panel:
    """Return the panel of a metric: how fast a counter grows, what a gauge is, the quantiles of a histogram."""
    labels = {"service": service}
    by = tuple(label.name for label in metric.labels if label.values is not None and len(label.values) <= _MOST_VALUES)
    legend = ", ".join(f"{{{{{name}}}}}" for name in by)
    empty = "" if all(label.values for label in metric.labels) else "Nothing has been counted yet."
    title = metric.name.removesuffix("_total").replace("_", " ").capitalize()
    if metric.kind == "counter":
        queries = (Query(rate(metric.name, labels, by=by), legend or "all"),)
        return Panel(title, queries, "cps", f"{metric.help} A second.", may_be_empty=empty)
    units = (unit for ending, unit in _UNITS if metric.name.endswith(ending))
    unit: Unit = next(units, "short")
    if metric.kind == "gauge":
        names = (*(label.name for label in metric.labels), "instance")
        legend = ", ".join(f"{{{{{name}}}}}" for name in names)
        return Panel(title, (Query(selected(metric.name, labels), legend),), unit, metric.help, may_be_empty=empty)
    return Panel(title, tuple(_quantiles(metric.name, labels)), unit, metric.help, may_be_empty=empty)


def _quantiles(histogram: str, labels: dict[str, str]) -> Iterator[Query]:
    for share, name in ((0.5, "half are below"), (0.95, "19 in 20 are below")):
        yield Query(quantile(share, histogram, labels, window=RATE_INTERVAL), name)
