"""The board of caches."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.cache.metrics import (
    BYTES,
    ENTRIES,
    EVICTIONS,
    FACTORY,
    INVALIDATIONS,
    LOOKUPS,
    PENDING,
    STORE_ERRORS,
    STORE_UP,
)
from roadworthy.emit.dashboard import Dashboard, Panel, Query, Row, Variable
from roadworthy.emit.dashboards.expressions import highest, quantile, rate, summed
from roadworthy.emit.indicator import selected
from roadworthy.service import ServiceSpec

_CHOSEN = 'cache=~"$cache"'
_NOT_ASKED = "No cache was asked yet."


def cache(spec: ServiceSpec) -> Dashboard | None:
    """Return the board of a service's caches, or None without any."""
    if not spec.caches:
        return None
    labels = {"service": spec.name}
    found = (
        Row("Whether they help", tuple(_use(labels))),
        Row("What they hold", tuple(_contents(labels))),
        Row("The shared store", tuple(_store(labels))),
    )
    return Dashboard("cache", "Cache", found, (Variable("cache", selected(LOOKUPS.name, labels)),))


def _use(labels: dict[str, str]) -> Iterator[Panel]:
    hits, loads = (
        f"sum by (cache) (rate({selected(LOOKUPS.name, labels, which, _CHOSEN)}[15m]))"
        for which in ('outcome=~"hit|stale"', 'tier="source"')
    )
    yield Panel(
        "Answered without the source",
        (Query(highest(f"{hits} / ({hits} + {loads})"), "{{cache}}"),),
        unit="percentunit",
        description="The share in a quarter of an hour. The alert wants more than one lookup a second.",
        alert="CacheHitRateLow",
        may_be_empty=_NOT_ASKED,
    )
    yield Panel(
        "Lookups by outcome",
        (Query(highest(rate(LOOKUPS.name, labels, _CHOSEN, by=("tier", "outcome")), 10), "{{tier}}: {{outcome}}"),),
        unit="ops",
        may_be_empty=_NOT_ASKED,
    )
    yield Panel(
        "Time of the source, 19 in 20",
        (Query(highest(quantile(0.95, FACTORY.name, labels, _CHOSEN, by=("cache",))), "{{cache}}"),),
        unit="s",
        may_be_empty="No cache has asked its source yet.",
    )
    late = 'tier="source"'
    failed = rate(LOOKUPS.name, labels, late, 'outcome=~"error|late"', _CHOSEN, by=("cache", "outcome"))
    yield Panel(
        "Failures of the source",
        (Query(highest(failed), "{{cache}}: {{outcome}}"),),
        unit="ops",
        may_be_empty=_NOT_ASKED,
    )


def _contents(labels: dict[str, str]) -> Iterator[Panel]:
    for title, metric, unit in (("Entries in memory", ENTRIES, "short"), ("Bytes in memory", BYTES, "bytes")):
        held = summed(selected(metric.name, labels, _CHOSEN), "cache")
        yield Panel(title, (Query(highest(held), "{{cache}}"),), unit=unit, may_be_empty=_NOT_ASKED)  # type: ignore[arg-type]
    for title, metric in (("Driven out for want of room", EVICTIONS), ("Invalidations", INVALIDATIONS)):
        counted = rate(metric.name, labels, _CHOSEN, by=("cache",))
        yield Panel(title, (Query(highest(counted), "{{cache}}"),), unit="ops", may_be_empty=_NOT_ASKED)


def _store(labels: dict[str, str]) -> Iterator[Panel]:
    yield Panel(
        "Shared store",
        (Query(f"min({selected(STORE_UP.name, labels)})", "answers"),),
        unit="none",
        description="1 without one.",
        values={0: "down", 1: "up"},
    )
    yield Panel(
        "Exchanges that fail",
        (Query(highest(rate(STORE_ERRORS.name, labels, _CHOSEN, by=("cache",))), "{{cache}}"),),
        unit="ops",
        may_be_empty=_NOT_ASKED,
    )
    yield Panel("Changes that wait for it", (Query(summed(selected(PENDING.name, labels)), "waiting"),), unit="none")
