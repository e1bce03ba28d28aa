"""The handles of metrics."""

from __future__ import annotations

from typing import Any

from roadworthy.handles.host import Host
from roadworthy.telemetry.spec import MetricSpec


class Counter:
    """The handle of a counter."""

    def __init__(self, service: Host, spec: MetricSpec) -> None:
        """Declared with `Service.counter`."""
        self.spec = spec
        self._service = service

    def inc(self, amount: float = 1, **labels: str) -> None:
        """Add `amount`, which must not be negative, under the given labels."""
        _child(self._service, self.spec, labels).inc(amount)


class Gauge:
    """The handle of a gauge."""

    def __init__(self, service: Host, spec: MetricSpec) -> None:
        """Declared with `Service.gauge`."""
        self.spec = spec
        self._service = service

    def set(self, value: float, **labels: str) -> None:
        """Set the value under the given labels."""
        _child(self._service, self.spec, labels).set(value)

    def inc(self, amount: float = 1, **labels: str) -> None:
        """Add `amount`, which may be negative, under the given labels."""
        _child(self._service, self.spec, labels).inc(amount)


class Histogram:
    """The handle of a histogram."""

    def __init__(self, service: Host, spec: MetricSpec) -> None:
        """Declared with `Service.histogram`."""
        self.spec = spec
        self._service = service

    def observe(self, value: float, **labels: str) -> None:
        """Count one observation, in the unit of the histogram's name."""
        _child(self._service, self.spec, labels).observe(value)


def _child(service: Host, spec: MetricSpec, labels: dict[str, str]) -> Any:
    bound = service.binding(f"metric {spec.name!r}").metrics.bound(spec)
    if labels.keys() != set(spec.label_names):
        takes = ", ".join(spec.label_names) or "no labels"
        raise ValueError(f"metric {spec.name!r} takes {takes}, but was given {', '.join(labels) or 'none'}")
    return bound.labels(*(labels[name] for name in spec.label_names))
