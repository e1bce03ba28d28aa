"""Every metric that a service exports: what its capabilities do, and its own."""

from __future__ import annotations

from roadworthy.activity import metrics as activity_metrics
from roadworthy.cache import metrics as cache_metrics
from roadworthy.cost import metrics as cost_metrics
from roadworthy.database import metrics as database_metrics
from roadworthy.edge import metrics as edge_metrics
from roadworthy.health import machine_metrics
from roadworthy.health import metrics as health_metrics
from roadworthy.jobs import metrics as jobs_metrics
from roadworthy.limits import metrics as limits_metrics
from roadworthy.redis import metrics as redis_metrics
from roadworthy.resilience import breaker_metrics, dependency_metrics, shedding_metrics
from roadworthy.security import metrics as security_metrics
from roadworthy.service import ServiceSpec
from roadworthy.telemetry import metrics as telemetry_metrics
from roadworthy.telemetry import telling_metrics
from roadworthy.telemetry.spec import MetricSpec


def catalogue(spec: ServiceSpec) -> tuple[MetricSpec, ...]:
    """Return every metric of a service, its own last: the runtime exports them, `check` holds alerts against them."""
    return (
        *telemetry_metrics.catalogue(spec.request_buckets),
        *database_metrics.CATALOGUE,
        *jobs_metrics.catalogue(spec.wait_buckets),
        *health_metrics.CATALOGUE,
        *machine_metrics.CATALOGUE,
        *redis_metrics.CATALOGUE,
        *edge_metrics.CATALOGUE,
        *cache_metrics.CATALOGUE,
        *limits_metrics.CATALOGUE,
        *security_metrics.CATALOGUE,
        *dependency_metrics.CATALOGUE,
        *breaker_metrics.CATALOGUE,
        *shedding_metrics.CATALOGUE,
        *telling_metrics.CATALOGUE,
        *cost_metrics.CATALOGUE,
        *activity_metrics.CATALOGUE,
        *spec.metrics,
    )
