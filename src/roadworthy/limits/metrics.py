"""Every metric that limits export, read from what they count when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from roadworthy.telemetry.spec import Label, MetricSpec

if TYPE_CHECKING:
    from roadworthy.limits.limiter import Limiter
    from roadworthy.limits.limiters import Limiters
    from roadworthy.telemetry.registry import MetricRegistry

_LIMIT = Label("limit")

DECISIONS = MetricSpec(
    "limit_decisions_total",
    "counter",
    "Decisions: admitted, denied, or shadowed, which is denied by a limit that refuses nobody.",
    (_LIMIT, Label("outcome", ("admitted", "denied", "shadowed"))),
)
SOURCES = MetricSpec(
    "limit_sources_total",
    "counter",
    "What decided: memory, the shared store, units leased from it, a denial of its that still held, or on_error.",
    (_LIMIT, Label("source", ("memory", "store", "lease", "denial", "on_error"))),
)
STORE_ERRORS = MetricSpec(
    "limit_store_errors_total",
    "counter",
    "Questions to the shared store that failed, came back too late or were not tried.",
    (_LIMIT,),
)
LEASED = MetricSpec("limit_leased_units_total", "counter", "Units taken ahead from the shared store.", (_LIMIT,))
LOST = MetricSpec("limit_lost_units_total", "counter", "Units taken ahead that were not used in time.", (_LIMIT,))
KEYS = MetricSpec("limit_keys", "gauge", "Keys remembered in memory.", (_LIMIT,))
EVICTIONS = MetricSpec(
    "limit_evictions_total", "counter", "Keys forgotten for want of room while they still counted.", (_LIMIT,)
)
STORE_UP = MetricSpec(
    "limit_store_up", "gauge", "1 while the shared store answers, 0 while it does not; 1 without one.", across="each"
)

CATALOGUE: tuple[MetricSpec, ...] = (
    DECISIONS,
    SOURCES,
    STORE_ERRORS,
    LEASED,
    LOST,
    KEYS,
    EVICTIONS,
    STORE_UP,
)


def track(registry: MetricRegistry, limiters: Limiters, up: Callable[[], bool] = lambda: True) -> None:
    """Have `registry` tell of limits, whose decisions count in plain numbers; `up` says whether the store answers."""
    registry.bound(STORE_UP).track(lambda: 1 if up() else 0)
    carried = [one for limiter in limiters.all.values() for one in _series(registry, limiter)]
    told = [0] * len(carried)

    def carry() -> None:
        for index, (read, write) in enumerate(carried):
            value = read()
            write(value - told[index])
            told[index] = value

    registry.before_reading(carry)


def _series(registry: MetricRegistry, limiter: Limiter) -> Iterator[tuple[Callable[[], int], Callable[[float], None]]]:
    name, counts = limiter.spec.name, limiter.counts
    outcomes: dict[str, Callable[[], int]] = {
        "admitted": lambda: counts.admitted,
        "denied": lambda: counts.denied - counts.shadowed,
        "shadowed": lambda: counts.shadowed,
    }
    sources: dict[str, Callable[[], int]] = {
        "memory": lambda: counts.memory_admitted + counts.memory_denied,
        "store": lambda: counts.store_admitted + counts.store_denied,
        "lease": lambda: counts.lease_admitted,
        "denial": lambda: counts.denial_denied,
        "on_error": lambda: counts.on_error_admitted + counts.on_error_denied,
    }
    for outcome, read in outcomes.items():
        yield read, registry.bound(DECISIONS).labels(name, outcome).inc
    for source, read in sources.items():
        yield read, registry.bound(SOURCES).labels(name, source).inc
    yield lambda: counts.store_errors, registry.bound(STORE_ERRORS).labels(name).inc
    yield lambda: counts.leased, registry.bound(LEASED).labels(name).inc
    yield lambda: counts.lost, registry.bound(LOST).labels(name).inc
    yield lambda: limiter.evictions, registry.bound(EVICTIONS).labels(name).inc
    # A gauge moves by the difference as well.
    yield lambda: limiter.keys, registry.bound(KEYS).labels(name).inc
