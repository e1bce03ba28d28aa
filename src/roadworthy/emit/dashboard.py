"""A dashboard before it is Grafana's: rows of panels, each of which asks Prometheus something.

Colours change where an alert would fire, so a panel names its alert; what it may lack, and why, is said beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from roadworthy.objectives.panel import Unit

Shape = Literal["timeseries", "stat", "table"]
Side = Literal["above", "below", "at"]

RATE_INTERVAL = "$__rate_interval"
"""Grafana's shortest window for a rate: four scrapes at least, longer where a pixel stands for more."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression of a panel. `legend` is Grafana's template of a series' name, as in "{{route}}"."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where a value becomes bad: above, below, or exactly at `value`, in the panel's unit."""

    value: float
    side: Side = "above"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    `alert` names the alert that looks at the same: its threshold is the panel's, and its runbook is linked. Of several
    alerts of that name it is the first that has all of `alert_labels`. `values` gives words for numbers.
    `may_be_empty` says why there can be no data although all is well; without it, no data is a fault.
    """

    title: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    description: str = ""
    shape: Shape = "timeseries"
    alert: str | None = None
    alert_labels: Mapping[str, str] = field(default_factory=dict)
    threshold: Threshold | None = None
    values: Mapping[int, str] = field(default_factory=dict)
    may_be_empty: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """What a reader narrows a dashboard by: values of `label` of the series that `selector` selects, all at first."""

    label: str
    selector: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard. `name` is the end of its file's name and of its uid, as in "api-performance"."""

    name: str
    title: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    @property
    def panels(self) -> Iterator[Panel]:
        """Every panel, row by row."""
        for row in self.rows:
            yield from row.panels


def concrete(expression: str, board: Dashboard, rate_interval: str = "2m") -> str:
    """Return an expression as Grafana sends it to Prometheus while nobody has narrowed the dashboard.

    `rate_interval` stands for Grafana's; 2m is the shortest for scrapes each half a minute.
    """
    text = expression.replace(RATE_INTERVAL, rate_interval)
    for variable in board.variables:
        text = re.sub(rf"\$\{{{variable.label}\}}|\${variable.label}\b", ".*", text)
    return text
