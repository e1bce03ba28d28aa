"""Alerts on caches."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.cache.metrics import LOOKUPS
from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import INTERVAL
from roadworthy.objectives.spec import AlertExample


def cache_alerts(service: str) -> Iterator[Alert]:
    """Yield the alerts on caches that do little."""
    yield _hit_rate(service)


def _hit_rate(service: str) -> Alert:
    labels = {"service": service}
    hits = selected(LOOKUPS.name, labels, 'outcome=~"hit|stale"')
    loads = selected(LOOKUPS.name, labels, 'tier="source"')
    hit = selected(LOOKUPS.name, {**labels, "cache": "cache", "tier": "memory", "outcome": "hit"})
    load = selected(LOOKUPS.name, {**labels, "cache": "cache", "tier": "source", "outcome": "loaded"})
    by = "sum by (cache)"
    found = f"{by} (rate({hits}[15m]))"
    return Alert(
        "CacheHitRateLow",
        f"{found} / ({found} + {by} (rate({loads}[15m])) > 1) < 0.5",
        minutes(15),
        "warning",
        "A cache seldom has what is asked for",
        "The cache {{ $labels.cache }} answers {{ $value | humanizePercentage }} of what it is asked; its source does "
        "the rest.",
        "Did its keys or its ttl change with a deploy? Is something invalidated all the time "
        "(cache_invalidations_total), or driven out for want of room (cache_evictions_total)?",
        example=AlertExample(
            {hit: "0+40x80", load: "0+160x80"},
            {hit: "0+160x80", load: "0+40x80"},
            5 * INTERVAL,
            {"cache": "cache"},
            {"{{ $labels.cache }}": "cache", "{{ $value | humanizePercentage }}": "20%"},
        ),
    )
