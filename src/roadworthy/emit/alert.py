"""An alert as it is emitted: what it is about, whom it tells, what they should do, and a case in which it fires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from roadworthy.objectives.spec import Severity


@dataclass(frozen=True, slots=True)
class Example:
    """Series for promtool, scraped each 30 s: with `fires` the expression holds from `after` on, with `quiet` never.

    Both map series to values in promtool's notation ("0+60x100"). `labels` are those that the alert then has from its
    series. `rendered` has what the templates of the description come to.
    """

    fires: Mapping[str, str]
    quiet: Mapping[str, str]
    after: timedelta
    labels: Mapping[str, str] = field(default_factory=dict)
    rendered: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert rule. `steps` is what its runbook says to look at first; `labels` are further labels of its own."""

    name: str
    expression: str
    duration: timedelta
    severity: Severity
    summary: str
    description: str
    steps: str
    labels: Mapping[str, str] = field(default_factory=dict)
    example: Example | None = None
