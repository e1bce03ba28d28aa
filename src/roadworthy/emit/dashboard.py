"""A dashboard before it is Grafana's: rows of panels, each of which asks Prometheus something.

Colours change where an alert would fire, so a panel names its alert; what it may lack, and why, is said beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["none", "short", "s", "bytes", "percentunit", "reqps", "ops", "cps", "dtdurations", "currencyUSD"]
"""Grafana's name of what a panel's numbers are."""

Shape = Literal["timeseries", "stat", "table", "heatmap"]


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression of a panel. `legend` is Grafana's template of a series' name, as in "{{route}}"."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `alert` names the alert whose threshold it shows, `threshold` is that threshold in the panel's unit.

    `may_be_empty` says why there can be no data although all is well; without it, no data is a fault.
    """

    title: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    description: str = ""
    shape: Shape = "timeseries"
    alert: str | None = None
    threshold: float | None = None
    may_be_empty: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard. `name` is the end of its file's name and of its uid, as in "api-performance"."""

    name: str
    title: str
    rows: tuple[Row, ...]
