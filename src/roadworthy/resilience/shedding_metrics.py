"""What load shedding exports, read from where it is counted when it is scraped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from roadworthy.resilience.shedding import Priority
from roadworthy.telemetry.spec import Label, MetricSpec

if TYPE_CHECKING:
    from roadworthy.resilience.shedding import Gate
    from roadworthy.telemetry.registry import MetricRegistry

REQUESTS = MetricSpec(
    "shedding_requests_total",
    "counter",
    "Requests turned away because there were more than could be answered, by priority.",
    (Label("priority", tuple(priority.name.lower() for priority in Priority)),),
)
LIMIT = MetricSpec("shedding_limit", "gauge", "How many requests may be under way at once.", across="each")
BEHIND = MetricSpec(
    "shedding_behind",
    "gauge",
    "1 while requests are turned away because the event loop is behind, else 0.",
    across="each",
)

CATALOGUE: tuple[MetricSpec, ...] = (REQUESTS, LIMIT, BEHIND)


def track(registry: MetricRegistry, gate: Gate, refused: Mapping[Priority, int]) -> None:
    """Have `registry` tell of a gate, and of the requests that were `refused` at it."""
    registry.bound(LIMIT).track(lambda: gate.limit.limit)
    registry.bound(BEHIND).track(lambda: gate.behind)
    registry.before_reading(_carrying(registry, refused))


def _carrying(registry: MetricRegistry, refused: Mapping[Priority, int]) -> Callable[[], None]:
    told = dict.fromkeys(Priority, 0)
    requests = registry.bound(REQUESTS)

    def carry() -> None:
        for priority, count in refused.items():
            requests.labels(priority.name.lower()).inc(count - told[priority])
            told[priority] = count

    return carry
