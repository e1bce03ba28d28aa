"""The metrics of one process, made from their declarations; the only module that knows prometheus_client.

A metric's children are looked up in a plain dict of ours: the client's `labels()` costs more than counting.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Protocol, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from roadworthy._version import __version__
from roadworthy.errors import DeclarationError
from roadworthy.telemetry.exposition import Family, Sample, Snapshot
from roadworthy.telemetry.metrics import INFORMATION, LABEL_OVERFLOW, PROCESS_METRICS
from roadworthy.telemetry.spec import OVERFLOW, Label, MetricSpec

_MOST_BORN_AT_ZERO = 1000
_PROCESS_NAMES = frozenset(spec.name for spec in PROCESS_METRICS)


class Child(Protocol):
    """One series of a metric. A counter has `inc`, a gauge `set`, `inc` and `dec`, a histogram `observe`."""

    def inc(self, amount: float = 1) -> None: ...
    def dec(self, amount: float = 1) -> None: ...
    def set(self, value: float) -> None: ...
    def observe(self, amount: float) -> None: ...


class Tally:
    """Observations of a histogram's series that are counted cheaply, and carried over at each snapshot.

    `bounds` are the histogram's finite upper bounds. The client's own `observe` takes locks and tries each bound.
    """

    __slots__ = ("_child", "_told", "_told_total", "bounds", "counts", "total")

    def __init__(self, child: Child, bounds: Sequence[float]) -> None:
        """Count for `child`."""
        self._child = cast(Histogram, child)
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._told = list(self.counts)
        self._told_total = 0.0

    def observe(self, amount: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, amount)] += 1
        self.total += amount

    def carry(self) -> int:
        """Give the client what was counted since the last time; return how many observations those were."""
        carried = 0
        for index, count in enumerate(self.counts):
            if (fresh := count - self._told[index]) > 0:
                self._child._buckets[index].inc(fresh)
                self._told[index] = count
                carried += fresh
        self._child._sum.inc(self.total - self._told_total)
        self._told_total = self.total
        return carried


class Bound:
    """A metric of a registry, whose series are reached by their label values."""

    def __init__(self, spec: MetricSpec, metric: Counter | Gauge | Histogram, overflow: Bound | None) -> None:
        self.spec = spec
        self._metric = metric
        self._overflow = overflow
        self._lock = Lock()
        self._children: dict[tuple[str, ...], Child] = {}
        self._seen: tuple[set[str], ...] = tuple(set() for _ in spec.labels)
        self._create_known()

    def labels(self, *values: str) -> Child:
        """Return the series with these label values, in the order of the declaration.

        A value outside the declared ones, or past the label's cap, is replaced by `__other__` and counted in
        `telemetry_label_overflow_total`.

        Raises:
            ValueError: there are more or fewer values than labels.
        """
        child = self._children.get(values)
        return child if child is not None else self._folded(values)

    def track(self, function: Callable[[], float]) -> None:
        """Have a gauge without labels read its value from `function` at each snapshot: nothing to do in between."""
        if not isinstance(self._metric, Gauge) or self.spec.labels:
            raise TypeError(f"metric {self.spec.name!r} is no gauge without labels; only such a one can be tracked")
        self._metric.set_function(function)

    def forget(self) -> None:
        """Drop every series, so that what is no longer known is not exported; each is made anew when it is set."""
        with self._lock:
            self._children.clear()
            self._metric.clear()

    def _create_known(self) -> None:
        """Create every series whose labels are all enumerated: a counter born at 1 would show no increase."""
        enumerated = [label.values for label in self.spec.labels if label.values is not None]
        if len(enumerated) < len(self.spec.labels) or math.prod(map(len, enumerated)) > _MOST_BORN_AT_ZERO:
            return
        for values in itertools.product(*enumerated):
            self._child(values)

    def _child(self, values: tuple[str, ...]) -> Child:
        child = self._children.get(values)
        if child is None:
            made = self._metric.labels(*values) if values else self._metric
            child = self._children[values] = cast(Child, made)
        return child

    def _folded(self, values: tuple[str, ...]) -> Child:
        labels = self.spec.labels
        if len(values) != len(labels):
            names = ", ".join(self.spec.label_names) or "none"
            raise ValueError(f"metric {self.spec.name!r} got {len(values)} label values; its labels are: {names}")
        wanted = tuple(str(value) for value in values)
        with self._lock:
            folded = tuple(map(_fold, labels, self._seen, wanted))
            child = self._child(folded)
        if folded != wanted and self._overflow is not None:
            self._overflow.labels(self.spec.name).inc()
        return child


def _fold(label: Label, seen: set[str], value: str) -> str:
    if label.values is not None:
        return value if value in label.values else OVERFLOW
    if value in seen:
        return value
    if len(seen) >= label.limit:
        return OVERFLOW
    seen.add(value)
    return value


class MetricRegistry:
    """The metrics of one process. There is no global one: two services in a process do not meet."""

    def __init__(self, specs: Iterable[MetricSpec], *, service: str = "", service_version: str = "") -> None:
        """Create every metric of `specs`, beside the process's own and telemetry's.

        Raises:
            DeclarationError: two specs give one name different meanings.
        """
        self._registry = CollectorRegistry(auto_describe=False)
        self._process = ProcessCollector(registry=None)
        self._bound: dict[str, Bound] = {}
        self._before: list[Callable[[], None]] = []
        self._overflow = self._create(LABEL_OVERFLOW, None)
        for spec in specs:
            if spec.name not in _PROCESS_NAMES:
                self._add(spec)
        self._add(INFORMATION)
        self.bound(INFORMATION).labels(service, service_version, __version__).set(1)

    def bound(self, metric: MetricSpec | str) -> Bound:
        """Return the metric with this declaration or name.

        Raises:
            DeclarationError: no such metric was declared.
        """
        name = metric if isinstance(metric, str) else metric.name
        bound = self._bound.get(name)
        if bound is None:
            raise DeclarationError(
                f"metric {name!r} is not declared; declare it on the service or in its capability's CATALOGUE"
            )
        return bound

    def before_reading(self, call: Callable[[], None]) -> None:
        """Have `call` carry over, before each snapshot, what was counted in a cheaper way since the last."""
        self._before.append(call)

    def _carry_over(self) -> None:
        for call in self._before:
            call()

    def value(self, series: str, labels: Mapping[str, str] | None = None) -> float | None:
        """Return one series' value, as in `value("jobs_total", {"queue": "mail"})`; None if there is no such series."""
        self._carry_over()
        return self._registry.get_sample_value(series, dict(labels or {}))

    def snapshot(self) -> Snapshot:
        """Return what every metric holds now."""
        self._carry_over()
        families = [
            Family(
                bound.spec.name,
                bound.spec.kind,
                bound.spec.help,
                bound.spec.across,
                tuple(
                    Sample(sample.name, tuple(sample.labels.items()), float(sample.value))
                    for collected in bound._metric.collect()
                    for sample in collected.samples
                    if not sample.name.endswith("_created")
                ),
            )
            for bound in self._bound.values()
        ]
        return Snapshot((*families, *self._process_families()))

    def _process_families(self) -> Iterable[Family]:
        collected = [sample for family in self._process.collect() for sample in family.samples]
        values = {sample.name: float(sample.value) for sample in collected}
        for spec in PROCESS_METRICS:
            if spec.name in values:
                sample = Sample(spec.name, (), values[spec.name])
                yield Family(spec.name, spec.kind, spec.help, spec.across, (sample,))

    def _add(self, spec: MetricSpec) -> None:
        known = self._bound.get(spec.name)
        if known is None:
            self._create(spec, self._overflow)
        elif known.spec != spec:
            raise DeclarationError(f"metric {spec.name!r} is declared twice, differently; rename one of the two")

    def _create(self, spec: MetricSpec, overflow: Bound | None) -> Bound:
        try:
            metric = self._metric(spec)
        except ValueError as error:
            raise DeclarationError(f"metric {spec.name!r} cannot be registered ({error}); rename it") from error
        bound = self._bound[spec.name] = Bound(spec, metric, overflow)
        return bound

    def _metric(self, spec: MetricSpec) -> Counter | Gauge | Histogram:
        match spec.kind:
            case "counter":
                return Counter(spec.name, spec.help, spec.label_names, registry=self._registry)
            case "gauge":
                return Gauge(spec.name, spec.help, spec.label_names, registry=self._registry)
            case "histogram":
                return Histogram(spec.name, spec.help, spec.label_names, registry=self._registry, buckets=spec.buckets)
