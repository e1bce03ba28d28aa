"""Every series that a service's Prometheus can hold, with its labels and, where they are known, their values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from roadworthy.cache import metrics as cache_metrics
from roadworthy.catalogue import catalogue as exported
from roadworthy.check.app import App
from roadworthy.edge import metrics as edge_metrics
from roadworthy.health import metrics as health_metrics
from roadworthy.health.spec import RESERVED
from roadworthy.jobs import metrics as jobs_metrics
from roadworthy.limits import metrics as limits_metrics
from roadworthy.objectives.spec import SEVERITIES
from roadworthy.resilience import breaker_metrics, dependency_metrics
from roadworthy.security import metrics as security_metrics
from roadworthy.service import ServiceSpec
from roadworthy.telemetry import metrics as telemetry_metrics
from roadworthy.telemetry.metrics import UNMATCHED_ROUTE
from roadworthy.telemetry.spec import OVERFLOW, Label, MetricSpec, bucket_label

TARGET_LABELS = ("job", "instance", "service")
"""What a scrape adds to every series."""

SCRAPE_SERIES = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
"""What Prometheus itself records of every scrape."""

MONITOR_SERIES = (
    "prometheus_rule_evaluation_failures_total",
    "prometheus_notifications_dropped_total",
    "prometheus_notifications_errors_total",
    "prometheus_notifications_sent_total",
    "prometheus_rule_group_last_duration_seconds",
    "prometheus_tsdb_head_series",
    "alertmanager_notifications_failed_total",
)
"""What Prometheus and Alertmanager tell of themselves, as far as alerts and dashboards go by it."""


@dataclass(frozen=True, slots=True)
class Values:
    """The values that a label can have; beside those listed, any that begins with one of `prefixes`."""

    listed: frozenset[str]
    prefixes: tuple[str, ...] = ()

    def admit(self, value: str) -> bool:
        """Whether a series can have the value."""
        return value in self.listed or value.startswith(self.prefixes)

    def admit_some(self, pattern: re.Pattern[str]) -> bool:
        """Whether a series can have a value that the pattern matches whole."""
        return bool(self.prefixes) or any(pattern.fullmatch(value) for value in self.listed)


@dataclass(frozen=True, slots=True)
class Series:
    """The series of one name. `labels` gives each label's possible values, None where they are open.

    `open` series may carry labels beyond those.
    """

    name: str
    kind: Literal["counter", "gauge"]
    labels: Mapping[str, Values | None]
    open: bool = False


_STATUSES = Values(frozenset(str(status) for status in range(100, 600)))


def catalogue(spec: ServiceSpec, app: App | None) -> Mapping[str, Series]:
    """Return the series by name. Routes count as known where `app` shows all of its."""
    known = {series.name: series for series in _prometheus_series(spec)}
    for metric in exported(spec):
        for series in _series(metric, spec, app):
            known[series.name] = series
    return known


def _series(metric: MetricSpec, spec: ServiceSpec, app: App | None) -> Iterator[Series]:
    own = metric in spec.metrics
    labels: dict[str, Values | None] = dict.fromkeys(TARGET_LABELS)
    for label in metric.labels:
        labels[label.name] = _values(label) if own else _platform_values(label, metric, spec, app)
    if metric.across == "each":
        labels["process"] = None
    if metric.kind != "histogram":
        yield Series(metric.name, metric.kind, labels)
        return
    bounds = _listed("+Inf", *map(bucket_label, metric.buckets))
    yield Series(f"{metric.name}_bucket", "counter", {**labels, "le": bounds})
    yield Series(f"{metric.name}_sum", "counter", labels)
    yield Series(f"{metric.name}_count", "counter", labels)


def _values(label: Label) -> Values | None:
    return None if label.values is None else _listed(*label.values, OVERFLOW)


def _platform_values(label: Label, metric: MetricSpec, spec: ServiceSpec, app: App | None) -> Values | None:
    if label.values is not None:
        return _values(label)
    match label.name:
        case "status" if metric in telemetry_metrics.CATALOGUE:
            return _STATUSES
        case "route" if app is not None:
            return Values(frozenset({route.path for route in app.routes} | {UNMATCHED_ROUTE, OVERFLOW}), app.hidden)
        case "queue":
            return _listed(*(queue.name for queue in spec.queues), OVERFLOW)
        case "job" if metric in jobs_metrics.CATALOGUE:
            return _listed(*(job.name for job in spec.jobs), OVERFLOW)
        case "cache" if metric in cache_metrics.CATALOGUE:
            return _listed(*(cache.name for cache in spec.caches), OVERFLOW)
        case "keys" if metric in security_metrics.CATALOGUE:
            return _listed(*(keys.name for keys in spec.api_keys), OVERFLOW)
        case "cdn" if metric in edge_metrics.CATALOGUE:
            return _listed(*(cdn.name for cdn in spec.cdns), OVERFLOW)
    return _guard_values(label, metric, spec)


def _guard_values(label: Label, metric: MetricSpec, spec: ServiceSpec) -> Values | None:
    match label.name:
        case "limit" if metric in limits_metrics.CATALOGUE:
            return _listed(*(limit.name for limit in spec.limits), OVERFLOW)
        case "dependency" if metric in dependency_metrics.CATALOGUE:
            return _listed(*(one.name for one in spec.dependencies), OVERFLOW)
        case "batch" if metric in dependency_metrics.CATALOGUE:
            return _listed(*(batch.name for batch in spec.batches), OVERFLOW)
        case "breaker" if metric in breaker_metrics.CATALOGUE:
            return _listed(*(one.name for one in spec.dependencies if one.breaker is not None), OVERFLOW)
        case "check" if metric in health_metrics.CATALOGUE:
            dependencies = (f"dependency {one.name}" for one in spec.dependencies)
            return _listed(*RESERVED, *(check.name for check in spec.checks), *dependencies, OVERFLOW)
    return None


def _listed(*values: str) -> Values:
    return Values(frozenset(values))


def _prometheus_series(spec: ServiceSpec) -> Iterator[Series]:
    for name in SCRAPE_SERIES:
        yield Series(name, "gauge", dict.fromkeys(TARGET_LABELS))
    for name in MONITOR_SERIES:
        kind: Literal["counter", "gauge"] = "counter" if name.endswith("_total") else "gauge"
        yield Series(name, kind, dict.fromkeys(("job", "instance")), open=True)
    alerts: dict[str, Values | None] = {
        "alertname": _listed(*(alert.name for alert in spec.alerts)),
        "severity": _listed(*SEVERITIES),
        "service": _listed(spec.name),
        "slo": _listed(*(objective.name for objective in spec.objectives)),
    }
    yield Series("ALERTS", "gauge", {**alerts, "alertstate": _listed("pending", "firing")}, open=True)
    yield Series("ALERTS_FOR_STATE", "gauge", alerts, open=True)
