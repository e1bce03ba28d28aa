"""What a metric is, declared once: its name, kind, labels with their values, and buckets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from roadworthy.errors import DeclarationError

Kind = Literal["counter", "gauge", "histogram"]

Across = Literal["sum", "max", "each"]
"""How one scrape tells several processes' gauge: added up, the largest, or each with a `process` label."""

OVERFLOW = "__other__"
"""The label value that stands for every value past a label's declared ones or its cap."""

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds in seconds, as OpenTelemetry's semantic conventions advise for HTTP durations."""

_METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED_LABELS = frozenset({"le", "quantile", "job", "instance"})


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a metric.

    `values` lists the only values allowed; None leaves them open, and then at most `limit` distinct ones are kept.
    Whatever falls outside is counted under `__other__`.
    """

    name: str
    values: tuple[str, ...] | None = None
    limit: int = 100

    def __post_init__(self) -> None:
        if not _METRIC_NAME.fullmatch(self.name) or self.name.startswith("__"):
            raise DeclarationError(f"label name {self.name!r} must match [a-z][a-z0-9_]*; rename it")
        if self.values is not None and not self.values:
            raise DeclarationError(f"label {self.name!r} allows no value; list its values, or leave them out")
        if self.limit < 1:
            raise DeclarationError(f"label {self.name!r} has a limit of {self.limit}; it must be at least 1")


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: Prometheus name, kind, help text, labels, and for a histogram its finite upper bounds.

    `across` says what one scrape of several processes tells of a gauge. Counters and histograms are added up,
    unless "each" keeps the processes apart.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    across: Across = "sum"

    def __post_init__(self) -> None:
        if not _METRIC_NAME.fullmatch(self.name):
            raise DeclarationError(f"metric name {self.name!r} must match [a-z][a-z0-9_]*; rename it")
        if not self.help.strip():
            raise DeclarationError(f"metric {self.name!r} has no help text; say in one line what it counts")
        if (self.kind == "counter") != self.name.endswith("_total"):
            raise DeclarationError(
                f"metric {self.name!r} is a {self.kind}; counters end in _total, and nothing else does"
            )
        if self.kind != "gauge" and self.across == "max":
            raise DeclarationError(f"metric {self.name!r} is a {self.kind}; only a gauge can keep its largest value")
        names = [label.name for label in self.labels]
        if len(set(names)) != len(names):
            raise DeclarationError(f"metric {self.name!r} names a label twice: {', '.join(names)}")
        if self.kind != "histogram":
            if self.buckets:
                raise DeclarationError(f"metric {self.name!r} is a {self.kind}; only a histogram has buckets")
        elif list(self.buckets) != sorted(set(self.buckets)) or not self.buckets:
            raise DeclarationError(f"histogram {self.name!r} needs buckets in strictly rising order")

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels, in the order of their values."""
        return tuple(label.name for label in self.labels)

    @property
    def series_names(self) -> tuple[str, ...]:
        """The names under which PromQL finds the metric's series."""
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


def service_labels(metric: str, labels: dict[str, tuple[str, ...] | None]) -> tuple[Label, ...]:
    """Return the labels of a service's own metric, refusing those that Prometheus or a scrape sets itself."""
    for name in labels:
        if name in _RESERVED_LABELS:
            raise DeclarationError(f"metric {metric!r} uses the label {name!r}, which Prometheus sets; rename it")
    return tuple(Label(name, tuple(values) if values is not None else None) for name, values in labels.items())


def bucket_label(bound: float) -> str:
    """Return the `le` label of a bucket as the Prometheus text format writes it: 0.2, 1.0, 1e+06."""
    text = repr(float(bound))
    whole, point, fraction = text.partition(".")
    if not point or len(whole) <= 6 or "e" in fraction:
        return text
    digits = f"{whole[0]}.{whole[1:]}{fraction}".rstrip("0.")
    return f"{digits}e+{len(whole) - 1:02d}"
