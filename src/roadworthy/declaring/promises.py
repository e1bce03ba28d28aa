"""What a service declares of metrics, objectives, alerts, panels and checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

from roadworthy.cost.spec import MeterSpec, PricesSpec
from roadworthy.declaring.base import Declaring
from roadworthy.duration import hours, seconds
from roadworthy.errors import DeclarationError
from roadworthy.handles.meter import Meter
from roadworthy.handles.metrics import Counter, Gauge, Histogram
from roadworthy.health.spec import RESERVED, Check, Observe
from roadworthy.objectives.panel import PanelSpec, Unit
from roadworthy.objectives.spec import AlertExample, AlertSpec, ObjectiveSpec, Severity
from roadworthy.objectives.weekly import DriftSpec, LowSpec
from roadworthy.telemetry.spec import LATENCY_BUCKETS, Across, Kind, MetricSpec, service_labels


class Promises(Declaring):
    """Declares metrics, objectives, alerts, panels and checks."""

    def counter(self, name: str, help: str, *, labels: Mapping[str, Iterable[str] | None] | None = None) -> Counter:
        """Declare a counter. `labels` gives each label's allowed values, or None to leave them open (at most 100)."""
        return Counter(self, self._metric(name, "counter", help, labels))

    def gauge(
        self,
        name: str,
        help: str,
        *,
        labels: Mapping[str, Iterable[str] | None] | None = None,
        across: Across | None = None,
    ) -> Gauge:
        """Declare a gauge. `labels` as for `counter`.

        `across` is what one scrape of several processes tells: their "sum", the largest ("max"), or "each" under a
        label `process`. By default moments, whose name ends in `_timestamp_seconds`, are the latest, and all else is
        added up.
        """
        if across is None:
            across = "max" if name.endswith("_timestamp_seconds") else "sum"
        return Gauge(self, self._metric(name, "gauge", help, labels, across=across))

    def histogram(
        self,
        name: str,
        help: str,
        *,
        labels: Mapping[str, Iterable[str] | None] | None = None,
        buckets: Sequence[float] = LATENCY_BUCKETS,
    ) -> Histogram:
        """Declare a histogram. `buckets` are its upper bounds in the unit of its name; `labels` as for `counter`."""
        return Histogram(self, self._metric(name, "histogram", help, labels, tuple(buckets)))

    def prices(
        self,
        *,
        cpu_hour: float = 0.0,
        memory_gib_hour: float = 0.0,
        disk_gib_month: float = 0.0,
        monthly_budget: float | None = None,
        currency: str = "USD",
    ) -> None:
        """Declare what an hour of a processor, a GiB of memory for an hour and one of disk for a month cost.

        What the service uses is then told in money, by resource, route and job. `monthly_budget` is what it may cost in
        a month: an alert of business fires while the forecast is above it. `currency` is the code by ISO 4217.
        """
        spec = PricesSpec(cpu_hour, memory_gib_hour, disk_gib_month, monthly_budget, currency)
        self.declared.add("prices", spec)

    def meter(self, name: str, *, price: float = 0.0) -> Meter:
        """Declare something that is used by the piece, of which one costs `price` in the currency of `prices`."""
        spec = MeterSpec(name, price)
        self.declared.add("meter", spec)
        return Meter(self, spec)

    def _metric(
        self,
        name: str,
        kind: Kind,
        help: str,
        labels: Mapping[str, Iterable[str] | None] | None,
        buckets: tuple[float, ...] = (),
        across: Across = "sum",
    ) -> MetricSpec:
        allowed = {key: None if values is None else tuple(values) for key, values in (labels or {}).items()}
        spec = MetricSpec(name, kind, help, service_labels(name, allowed), buckets, across)
        self.declared.add("metric", spec)
        return spec

    def slo(
        self,
        name: str,
        *,
        objective: float,
        under: timedelta | None = None,
        route: str | None = None,
        metric: str | None = None,
        queue: str | None = None,
        job: str | None = None,
        fresh: str | None = None,
        within: timedelta | None = None,
        good: Mapping[str, Iterable[str]] | None = None,
        minimum_events: int = 20,
    ) -> None:
        """Promise that a share `objective` of requests succeeds or, with `under`, is answered within that time.

        `route` ("GET /search") narrows it to one route. `metric` names a histogram in seconds to measure instead of
        HTTP's. `queue` promises that jobs of a queue succeed, of one kind with `job`, rather than go to the dead
        letters; or with `under` that they begin so soon after they are ready.

        `fresh` names a gauge, and the promise is that for this share of time it is no older than `within`: one whose
        name ends in `_timestamp_seconds` tells when something was last brought up to date, another one how old it is.
        With `good` the promise is that of what the counter `metric` counts this share has one of these values of each
        label, as in `good={"has_results": ("yes",)}`.

        The alerts on it want `minimum_events` in their window: one bad event of a few calls nobody. Of what is to be
        fresh, each look of Prometheus is one.
        """
        for label, values in (good or {}).items():
            if isinstance(values, str):
                raise DeclarationError(
                    f"objective {name!r} has good={{{label!r}: {values!r}}}; write a sequence, as in ({values!r},)"
                )
        chosen = None if good is None else {label: tuple(values) for label, values in good.items()}
        spec = ObjectiveSpec(name, objective, under, route, metric, minimum_events, queue, job, fresh, within, chosen)
        self.declared.add("objective", spec)

    def alert(
        self,
        name: str,
        *,
        expr: str,
        severity: Severity,
        runbook: str,
        for_: timedelta = timedelta(0),
        summary: str | None = None,
        example: AlertExample | None = None,
    ) -> None:
        """Declare an alert: tell people when the PromQL `expr` has been true for `for_`.

        `severity` is `critical`, `warning` or `business`; `runbook` says what to look at first. `example` has series
        with which it fires and others with which it does not, so that what is emitted can be tested.
        """
        self.declared.add("alert", AlertSpec(name, expr, for_, severity, runbook, summary or name, example))

    def alert_when_low(
        self,
        name: str,
        counter: Counter,
        *,
        runbook: str,
        summary: str | None = None,
        floor: int = 20,
        below: float = 0.5,
        where: Mapping[str, Sequence[str]] | None = None,
        for_: timedelta = hours(1),
        severity: Severity = "business",
    ) -> None:
        """Declare an alert on a counter that falls: tell people when it rose in an hour by less than a week before.

        Less is less than the share `below` of the same hour a week ago, if there were `floor` events at least; so it
        says nothing in the first week. `where` chooses among the counter's series, as in `{"has_results": ("yes",)}`.
        """
        chosen = {label: tuple(values) for label, values in (where or {}).items()}
        spec = LowSpec(name, counter.spec, runbook, summary or name, floor, below, chosen, for_, severity)
        self.declared.add("low", spec)

    def alert_when_drifting(
        self,
        measure: Gauge | Histogram,
        *,
        runbook: str,
        deviations: float = 3.0,
        tolerance: float = 0.05,
        minimum: int = 30,
    ) -> None:
        """Declare a gauge, or a histogram's mean, a measure of quality: tell people when it is not what it was.

        That is where it is further from its mean of the last week than `deviations` standard deviations, and than the
        share `tolerance` of that mean, for half an hour. A histogram has to have `minimum` observations in half an
        hour. A gauge of 0 is taken for one that was not set yet. In the first day it says nothing.
        """
        self.declared.add("drift", DriftSpec(measure.spec, runbook, deviations, tolerance, minimum))

    def panel(
        self,
        title: str,
        *,
        expr: str | Mapping[str, str],
        unit: Unit = "short",
        legend: str = "",
        description: str = "",
        may_be_empty: str = "",
        alert: str | None = None,
    ) -> None:
        """Declare a panel of the service's dashboard: what the PromQL `expr` gives over time, or several by legend.

        `unit` is what the values are: "s", "bytes", "percentunit" (0.5 is half), "reqps" and "ops" and "cps" (requests,
        operations and anything else a second), "dtdurations" (seconds, shown as days and hours), "currencyUSD", "short"
        or "none". A legend names a series, with labels in braces as in "{{outcome}}". `may_be_empty` says why there may
        be no data although all is well; without it, no data is taken for a fault. `alert` names the alert that looks at
        the same, whose threshold is then drawn and whose runbook is linked. `$__rate_interval` in `expr` is the window
        of a rate that fits what is shown.
        """
        queries = {legend: expr} if isinstance(expr, str) else expr
        spec = PanelSpec(title, tuple(queries.items()), unit, description, may_be_empty, alert)
        self.declared.add("panel", spec)

    def check(
        self,
        name: str,
        *,
        critical: bool = False,
        readiness: bool = False,
        timeout: timedelta = seconds(1),
        every: timedelta = seconds(5),
        failures: int = 2,
        successes: int = 2,
        groups: Sequence[str] = (),
    ) -> Callable[[Observe], Observe]:
        """Make an async function a check of `/health`: it returns what it observed, or raises what is wrong.

        A failure, or no answer within `timeout`, is a warning, and fails the whole where `critical`. `readiness` opts
        the check into `/readyz`. It is looked at about `every` so often, in the background; `failures` looks in a row
        that fail are one failure, and as many as `successes` end it. The operations port tells of the checks in one of
        `groups` alone at `/health/GROUP`.

        It runs in each process that answers probes, the supervisor included, which opens no resources: look at the
        database. With an `every` of 0 it runs whenever it is asked for, which is for what is in the process's memory.
        """
        if name in RESERVED:
            raise DeclarationError(f"check {name!r} comes with every service; choose another name")
        if isinstance(groups, str):
            raise DeclarationError(f"check {name!r} has groups={groups!r}; write a sequence, as in ({groups!r},)")

        def declare(function: Observe) -> Observe:
            chosen = tuple(groups)
            check = Check(name, function, critical, readiness, timeout, every, failures, successes, chosen)
            self.declared.add("check", check)
            return function

        return declare
