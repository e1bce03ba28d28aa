"""Every metric that caches export, read from what they count when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from roadworthy.telemetry.spec import Label, MetricSpec

if TYPE_CHECKING:
    from roadworthy.cache.caches import Caches, OpenCache
    from roadworthy.telemetry.registry import MetricRegistry

_CACHE = Label("cache")
_TIER = Label("tier", ("memory", "shared", "source"))
_OUTCOME = Label("outcome", ("hit", "stale", "miss", "error", "loaded", "late"))

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds of what a loading takes."""

LOOKUPS = MetricSpec(
    "cache_lookups_total",
    "counter",
    "Values looked for, by tier: found fresh (hit) or stale, not there (miss) or not answered (error) in memory and in "
    "the shared store; loaded, failed (error) or waited for in vain (late) at the source.",
    (_CACHE, _TIER, _OUTCOME),
)
FACTORY = MetricSpec("cache_factory_seconds", "histogram", "How long the source took.", (_CACHE,), SECONDS)
INVALIDATIONS = MetricSpec("cache_invalidations_total", "counter", "Invalidations by tag and clearings.", (_CACHE,))
EVICTIONS = MetricSpec("cache_evictions_total", "counter", "Entries driven out of memory for want of room.", (_CACHE,))
STORE_ERRORS = MetricSpec(
    "cache_store_errors_total", "counter", "Exchanges with the shared store that failed or were not tried.", (_CACHE,)
)
ENTRIES = MetricSpec("cache_entries", "gauge", "Entries in memory.", (_CACHE,))
BYTES = MetricSpec("cache_bytes", "gauge", "Bytes that entries take in memory, about.", (_CACHE,))
STORE_UP = MetricSpec(
    "cache_store_up", "gauge", "1 while the shared store answers, 0 while it does not; 1 without one.", across="each"
)
PENDING = MetricSpec("cache_pending", "gauge", "Changes that wait for the shared store to be back.")

CATALOGUE: tuple[MetricSpec, ...] = (
    LOOKUPS,
    FACTORY,
    INVALIDATIONS,
    EVICTIONS,
    STORE_ERRORS,
    ENTRIES,
    BYTES,
    STORE_UP,
    PENDING,
)


def track(registry: MetricRegistry, caches: Caches) -> None:
    """Have `registry` tell of caches: a hit counts in a plain number, which is carried over at each snapshot."""
    node = caches.node
    registry.bound(STORE_UP).track(lambda: 0 if node.down else 1)
    registry.bound(PENDING).track(lambda: len(node.pending))
    carried = [one for cache in caches.open_caches.values() for one in _series(registry, cache)]
    told = [0] * len(carried)

    def carry() -> None:
        for index, (read, write) in enumerate(carried):
            value = read()
            write(value - told[index])
            told[index] = value

    registry.before_reading(carry)


def _series(registry: MetricRegistry, cache: OpenCache) -> Iterator[tuple[Callable[[], int], Callable[[float], None]]]:
    name, counts = cache.spec.name, cache.counts
    counts.observe = registry.bound(FACTORY).labels(name).observe
    lookups: dict[tuple[str, str], Callable[[], int]] = {
        ("memory", "hit"): lambda: counts.tally.hits + counts.tally.thread_hits,
        ("memory", "stale"): lambda: counts.memory_stale,
        ("memory", "miss"): lambda: counts.memory_misses,
        ("shared", "hit"): lambda: counts.shared_hits,
        ("shared", "stale"): lambda: counts.shared_stale,
        ("shared", "miss"): lambda: counts.shared_misses,
        ("shared", "error"): lambda: counts.shared_errors,
        ("source", "loaded"): lambda: counts.loaded,
        ("source", "error"): lambda: counts.load_errors,
        ("source", "late"): lambda: counts.late,
    }
    for (tier, outcome), read in lookups.items():
        yield read, registry.bound(LOOKUPS).labels(name, tier, outcome).inc
    yield lambda: counts.invalidations, registry.bound(INVALIDATIONS).labels(name).inc
    yield lambda: counts.store_errors, registry.bound(STORE_ERRORS).labels(name).inc
    if (local := cache.tiers.local) is not None:
        yield lambda: local.memory.evictions, registry.bound(EVICTIONS).labels(name).inc
        # A gauge moves by the difference as well.
        yield lambda: len(local.memory), registry.bound(ENTRIES).labels(name).inc
        yield lambda: local.memory.bytes, registry.bound(BYTES).labels(name).inc
