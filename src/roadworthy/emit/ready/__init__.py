"""The alerts that every service gets for what it has, one module for each part of it."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.emit.alert import Alert
from roadworthy.emit.ready.caches import cache_alerts
from roadworthy.emit.ready.database import database_alerts
from roadworthy.emit.ready.guards import guard_alerts
from roadworthy.emit.ready.health import health_alerts
from roadworthy.emit.ready.jobs import job_alerts
from roadworthy.emit.ready.machine import machine_alerts
from roadworthy.emit.ready.monitor import monitor_alerts
from roadworthy.emit.ready.processes import process_alerts
from roadworthy.emit.ready.redis import redis_alerts
from roadworthy.emit.ready.requests import request_alerts
from roadworthy.emit.ready.scraping import scraping_alerts
from roadworthy.emit.ready.telling import telling_alerts
from roadworthy.service import ServiceSpec


def ready_alerts(spec: ServiceSpec) -> Iterator[Alert]:
    """Yield the alerts that fit what the service declares."""
    yield from scraping_alerts(spec.name)
    yield from process_alerts(spec)
    yield from machine_alerts(spec.name)
    yield from health_alerts(spec.name)
    yield from monitor_alerts()
    if spec.database is not None or spec.queues:
        yield from database_alerts(spec)
    if spec.limits or any("shared" in cache.tiers for cache in spec.caches):
        yield from redis_alerts(spec)
    if spec.app is not None:
        yield from request_alerts(spec.name)
    if spec.queues:
        yield from job_alerts(spec)
    if spec.caches:
        yield from cache_alerts(spec.name)
    yield from guard_alerts(spec)
    yield from telling_alerts(spec)
