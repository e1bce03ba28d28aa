"""What is held against the week before: counters that fall, and measures of quality that drift."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from roadworthy.errors import DeclarationError
from roadworthy.objectives.spec import Severity
from roadworthy.telemetry.spec import MetricSpec

EVERY = timedelta(minutes=5)
"""How often such rules are looked at: a week is read each time."""

_ALERT_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class LowSpec:
    """An alert on a counter that rose in the last hour by less than the share `below` of the same hour a week ago.

    `where` chooses among its series, by values of each label. With fewer than `floor` events a week ago it says
    nothing, and so it does in the first week.
    """

    name: str
    metric: MetricSpec
    runbook: str
    summary: str
    floor: int = 20
    below: float = 0.5
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    duration: timedelta = timedelta(hours=1)
    severity: Severity = "business"

    def __post_init__(self) -> None:
        if not _ALERT_NAME.fullmatch(self.name):
            raise DeclarationError(f"alert name {self.name!r} must be in CamelCase, as in 'LowSearchVolume'; rename it")
        if not 0 < self.below < 1:
            raise DeclarationError(
                f"alert {self.name!r} has below={self.below}; it is a share of the week before, between 0 and 1"
            )
        if self.floor < 1:
            raise DeclarationError(f"alert {self.name!r} has floor={self.floor}; it must be at least 1")
        if not self.runbook.strip():
            raise DeclarationError(f"alert {self.name!r} has no runbook; write what to look at first when it fires")
        for label, values in self.where.items():
            known = next((one for one in self.metric.labels if one.name == label), None)
            if known is None:
                raise DeclarationError(
                    f"alert {self.name!r} goes by the label {label!r}, which {self.metric.name} does not have; name "
                    f"one of: {', '.join(self.metric.label_names) or 'none'}"
                )
            if not values or any(value not in (known.values or values) for value in values):
                raise DeclarationError(
                    f"alert {self.name!r} has where={{{label!r}: {values!r}}}; list values that {self.metric.name} "
                    f"has: {', '.join(known.values or ('any',))}"
                )


@dataclass(frozen=True, slots=True)
class DriftSpec:
    """A measure of quality, a gauge or a histogram's mean, that is not to drift from what it was for a week.

    It has drifted where it is further from the week's mean than `deviations` standard deviations and than the share
    `tolerance` of that mean. A histogram's mean is of half an hour with `minimum` observations; a gauge of 0 is taken
    for one that was not set yet.
    """

    metric: MetricSpec
    runbook: str
    deviations: float = 3.0
    tolerance: float = 0.05
    minimum: int = 30

    def __post_init__(self) -> None:
        if self.metric.kind == "counter":
            raise DeclarationError(
                f"{self.metric.name} is a counter, which only rises; watch a gauge or a histogram for drift, or the "
                "counter with alert_when_low()"
            )
        if self.deviations <= 0 or self.tolerance < 0 or self.minimum < 1:
            raise DeclarationError(
                f"the drift of {self.metric.name} has deviations={self.deviations}, tolerance={self.tolerance} and "
                f"minimum={self.minimum}; they must be above 0, at least 0 and at least 1"
            )
        if not self.runbook.strip():
            raise DeclarationError(
                f"the drift of {self.metric.name} has no runbook; write what to look at first when it fires"
            )

    @property
    def name(self) -> str:
        """The metric's name: each has at most one."""
        return self.metric.name
