"""The metrics of one process, made from their declarations.

Series are looked up in a plain dict by their label values. What is counted stands in a `ledger` where there is one, so
that it outlives the process. Of prometheus_client, which this module alone knows, there is what it tells of a process.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Lock
from typing import cast

from prometheus_client import ProcessCollector

from roadworthy._version import __version__
from roadworthy.errors import DeclarationError
from roadworthy.telemetry.exposition import Exemplar, Family, Series, Snapshot, lasts
from roadworthy.telemetry.ledger import Ledger, Numbers
from roadworthy.telemetry.metrics import INFORMATION, LABEL_OVERFLOW, PROCESS_METRICS
from roadworthy.telemetry.series import Child, CounterSeries, GaugeSeries, HistogramSeries, Tally
from roadworthy.telemetry.spec import OVERFLOW, Label, MetricSpec

__all__ = ["Bound", "Child", "MetricRegistry", "Tally"]

_MOST_BORN_AT_ZERO = 1000
_PROCESS_NAMES = frozenset(spec.name for spec in PROCESS_METRICS)
_LONGEST_TURN = 0.002


class Bound:
    """A metric of a registry, whose series are reached by their label values."""

    def __init__(self, spec: MetricSpec, overflow: Bound | None, ledger: Ledger | None = None) -> None:
        self.spec = spec
        self._family = Family(spec.name, spec.kind, spec.help, spec.across, spec.label_names, spec.buckets)
        self._ledger = ledger if lasts(self._family) else None
        self._overflow = overflow
        self._lock = Lock()
        self._children: dict[tuple[str, ...], CounterSeries | GaugeSeries | HistogramSeries] = {}
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
        return cast(Child, child) if child is not None else self._folded(values)

    def track(self, function: Callable[[], float]) -> None:
        """Have a gauge without labels read its value from `function` at each snapshot: nothing to do in between."""
        child = self._children.get(())
        if not isinstance(child, GaugeSeries):
            raise TypeError(f"metric {self.spec.name!r} is no gauge without labels; only such a one can be tracked")
        child.read = function

    def forget(self) -> None:
        """Drop every series of a gauge, so that what is no longer known is not exported; each is made anew when set."""
        if self.spec.kind != "gauge":
            raise TypeError(f"metric {self.spec.name!r} is a {self.spec.kind}; what it counted is not to be forgotten")
        with self._lock:
            self._children.clear()

    def family(self) -> Family:
        """Return the metric with what each series holds now."""
        with self._lock:
            children = tuple(self._children.items())
        series = tuple([Series(labels, child.held(), _examples(child)) for labels, child in children])
        family = self._family
        return Family(family.name, family.kind, family.help, family.across, family.label_names, family.bounds, series)

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
            child = self._children[values] = self._made(values)
        return cast(Child, child)

    def _made(self, values: tuple[str, ...]) -> CounterSeries | GaugeSeries | HistogramSeries:
        match self.spec.kind:
            case "counter":
                return CounterSeries(self._numbers(values, 1))
            case "histogram":
                return HistogramSeries(self._numbers(values, len(self.spec.buckets) + 2), self.spec.buckets)
            case "gauge":
                return GaugeSeries()

    def _numbers(self, values: tuple[str, ...], size: int) -> Numbers:
        kept = None if self._ledger is None else self._ledger.numbers(self._family, values, size)
        return [0.0] * size if kept is None else kept

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


def _examples(child: CounterSeries | GaugeSeries | HistogramSeries) -> tuple[Exemplar, ...]:
    if not isinstance(child, HistogramSeries) or not child.examples:
        return ()
    return tuple(dict(child.examples).values())


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

    def __init__(
        self,
        specs: Iterable[MetricSpec],
        *,
        service: str = "",
        service_version: str = "",
        ledger: Ledger | None = None,
    ) -> None:
        """Create every metric of `specs`, and the process's own and telemetry's, counting in `ledger` if there is one.

        Raises:
            DeclarationError: two specs give one name different meanings.
        """
        self._ledger = ledger
        self._process = ProcessCollector(registry=None)
        self._bound: dict[str, Bound] = {}
        self._names: dict[str, str] = {}
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

    def carry_over(self) -> None:
        """Carry over what was counted in cheaper ways, so that the ledger has it."""
        for call in self._before:
            call()

    def value(self, series: str, labels: Mapping[str, str] | None = None) -> float | None:
        """Return one series' value, as in `value("jobs_total", {"queue": "mail"})`; None if there is no such series."""
        self.carry_over()
        wanted = dict(labels or {})
        bound = self._bound.get(self._names.get(series, ""))
        if bound is None:
            return None
        found = (one for one in bound.family().samples if one.name == series and dict(one.labels) == wanted)
        return next((one.value for one in found), None)

    def snapshot(self) -> Snapshot:
        """Return what every metric holds now."""
        self.carry_over()
        return Snapshot((*(bound.family() for bound in self._bound.values()), *self._process_families()))

    async def snapshot_in_turns(self) -> Snapshot:
        """Return the same without holding up the event loop: metric by metric, letting others run in between."""
        self.carry_over()
        families = []
        began = time.perf_counter()
        for bound in tuple(self._bound.values()):
            families.append(bound.family())
            if time.perf_counter() - began > _LONGEST_TURN:
                await asyncio.sleep(0)
                began = time.perf_counter()
        return Snapshot((*families, *self._process_families()))

    def _process_families(self) -> Iterator[Family]:
        collected = [sample for family in self._process.collect() for sample in family.samples]
        values = {sample.name: float(sample.value) for sample in collected}
        for spec in PROCESS_METRICS:
            if spec.name in values:
                series = (Series((), (values[spec.name],)),)
                yield Family(spec.name, spec.kind, spec.help, spec.across, series=series)

    def _add(self, spec: MetricSpec) -> None:
        known = self._bound.get(spec.name)
        if known is None:
            self._create(spec, self._overflow)
        elif known.spec != spec:
            raise DeclarationError(f"metric {spec.name!r} is declared twice, differently; rename one of the two")

    def _create(self, spec: MetricSpec, overflow: Bound | None) -> Bound:
        # OpenMetrics names a counter without its suffix, so another metric must not be called that.
        names = {spec.name, spec.name.removesuffix("_total"), *spec.series_names}
        for name in sorted(names):
            if (other := self._names.setdefault(name, spec.name)) != spec.name:
                raise DeclarationError(
                    f"metric {spec.name!r} cannot be registered, since {other!r} has a series {name!r}; rename it"
                )
        bound = self._bound[spec.name] = Bound(spec, overflow, self._ledger)
        return bound
