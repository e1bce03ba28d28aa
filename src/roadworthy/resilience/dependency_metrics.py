"""Every metric that dependencies and batches export, read from what they count when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from roadworthy.telemetry.spec import LATENCY_BUCKETS, Label, MetricSpec

if TYPE_CHECKING:
    from roadworthy.resilience.batching import Batching
    from roadworthy.resilience.dependency import Dependencies, OpenDependency
    from roadworthy.telemetry.registry import MetricRegistry

_DEPENDENCY = Label("dependency")
_BATCH = Label("batch")

CALLS = MetricSpec(
    "dependency_calls_total",
    "counter",
    "Calls of dependencies, each with all its attempts, by what became of them: answered, failed, not answered in time "
    "(late), not made (refused) or given up by their caller (cancelled).",
    (_DEPENDENCY, Label("outcome", ("answered", "failed", "late", "refused", "cancelled"))),
)
SECONDS = MetricSpec(
    "dependency_call_duration_seconds",
    "histogram",
    "How long calls of dependencies took, with all their attempts and waits.",
    (_DEPENDENCY,),
    LATENCY_BUCKETS,
)
RUNNING = MetricSpec("dependency_calls_in_progress", "gauge", "Calls of dependencies under way.", (_DEPENDENCY,))
WAITING = MetricSpec("dependency_calls_waiting", "gauge", "Calls that wait for a place in a bulkhead.", (_DEPENDENCY,))
REFUSED = MetricSpec(
    "dependency_refusals_total",
    "counter",
    "Calls that were not made, by what held them back.",
    (_DEPENDENCY, Label("by", ("breaker", "bulkhead", "throttle"))),
)
RETRIES = MetricSpec("dependency_retries_total", "counter", "Further attempts after one that failed.", (_DEPENDENCY,))
UNRETRIED = MetricSpec(
    "dependency_retries_refused_total", "counter", "Attempts for which the retry budget had no room.", (_DEPENDENCY,)
)
HEDGES = MetricSpec("dependency_hedges_total", "counter", "Second attempts beside one that took long.", (_DEPENDENCY,))
HEDGES_WON = MetricSpec(
    "dependency_hedges_won_total", "counter", "Second attempts that answered first.", (_DEPENDENCY,)
)
FALLBACKS = MetricSpec(
    "dependency_fallbacks_total",
    "counter",
    "Calls that a fallback answered, by its rung.",
    (_DEPENDENCY, Label("rung")),
)
BATCHES = MetricSpec("batches_total", "counter", "Calls of loaders of batches.", (_BATCH,))
BATCH_KEYS = MetricSpec("batch_keys_total", "counter", "Keys that loaders of batches were given.", (_BATCH,))
BATCH_SHARED = MetricSpec(
    "batch_shared_total", "counter", "Callers who asked for a key that another one had in the batch.", (_BATCH,)
)
BATCH_REFUSED = MetricSpec("batch_refused_total", "counter", "Callers refused because too many keys wait.", (_BATCH,))

CATALOGUE: tuple[MetricSpec, ...] = (
    CALLS,
    SECONDS,
    RUNNING,
    WAITING,
    REFUSED,
    RETRIES,
    UNRETRIED,
    HEDGES,
    HEDGES_WON,
    FALLBACKS,
    BATCHES,
    BATCH_KEYS,
    BATCH_SHARED,
    BATCH_REFUSED,
)

_Series = Iterator[tuple[Callable[[], int], Callable[[float], None]]]


def track(registry: MetricRegistry, dependencies: Dependencies) -> None:
    """Have `registry` tell of dependencies: a call counts in plain numbers, which are carried over at each snapshot."""
    carried = [one for dependency in dependencies.of.values() for one in _series(registry, dependency)]
    carried += [one for batch in dependencies.batches.values() for one in _batch_series(registry, batch)]
    told = [0] * len(carried)

    def carry() -> None:
        for index, (read, write) in enumerate(carried):
            value = read()
            write(value - told[index])
            told[index] = value

    registry.before_reading(carry)


def _series(registry: MetricRegistry, dependency: OpenDependency) -> _Series:
    name, counts = dependency.spec.name, dependency.counts
    counts.observe = registry.bound(SECONDS).labels(name).observe
    fallbacks = registry.bound(FALLBACKS)
    counts.fell_back = lambda rung: fallbacks.labels(name, rung).inc()
    calls = registry.bound(CALLS)
    yield lambda: counts.answered, calls.labels(name, "answered").inc
    yield lambda: counts.failed, calls.labels(name, "failed").inc
    yield lambda: counts.late, calls.labels(name, "late").inc
    yield lambda: counts.cancelled, calls.labels(name, "cancelled").inc
    yield lambda: sum(counts.refused.values()), calls.labels(name, "refused").inc
    for by in counts.refused:
        yield (lambda by=by: counts.refused[by]), registry.bound(REFUSED).labels(name, by).inc  # type: ignore[misc]
    # A gauge moves by the difference as well.
    yield lambda: counts.running, registry.bound(RUNNING).labels(name).inc
    if (bulkhead := dependency.bulkhead) is not None:
        yield lambda: bulkhead.waiting, registry.bound(WAITING).labels(name).inc
    if (retry := dependency.retry) is not None:
        yield lambda: retry.retries, registry.bound(RETRIES).labels(name).inc
        yield lambda: retry.over_budget, registry.bound(UNRETRIED).labels(name).inc
    if (hedging := dependency.hedging) is not None:
        yield lambda: hedging.sent, registry.bound(HEDGES).labels(name).inc
        yield lambda: hedging.won, registry.bound(HEDGES_WON).labels(name).inc


def _batch_series(registry: MetricRegistry, batch: Batching[object, object]) -> _Series:
    name = batch.spec.name
    yield lambda: batch.batches, registry.bound(BATCHES).labels(name).inc
    yield lambda: batch.keys, registry.bound(BATCH_KEYS).labels(name).inc
    yield lambda: batch.shared, registry.bound(BATCH_SHARED).labels(name).inc
    yield lambda: batch.refused, registry.bound(BATCH_REFUSED).labels(name).inc
