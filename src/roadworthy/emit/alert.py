"""An alert as it is emitted: what it is about, whom it tells, what they should do, and a case in which it fires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from roadworthy.objectives.collection import SCRAPE_INTERVAL
from roadworthy.objectives.spec import AlertExample, Severity


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert rule. `steps` is what its runbook says to look at first; `labels` are further labels of its own.

    It is looked at each `every`, and so are the series of its example.
    """

    name: str
    expression: str
    duration: timedelta
    severity: Severity
    summary: str
    description: str
    steps: str
    labels: Mapping[str, str] = field(default_factory=dict)
    example: AlertExample | None = None
    every: timedelta = SCRAPE_INTERVAL
