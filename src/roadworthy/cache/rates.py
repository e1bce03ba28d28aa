"""How often a cache had the answer: a pure reading of what its processes counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roadworthy.cache.metrics import LOOKUPS

if TYPE_CHECKING:
    from roadworthy.telemetry.exposition import Snapshot


@dataclass(frozen=True, slots=True)
class Rate:
    """What processes counted of one cache since each began, together."""

    hits: int
    stale: int
    misses: int
    loaded: int

    @property
    def ratio(self) -> float | None:
        """The share of lookups that found a value, stale ones included; None where nothing was looked for."""
        lookups = self.hits + self.stale + self.misses
        return (self.hits + self.stale) / lookups if lookups else None


def rate_of(lookups: Mapping[tuple[str, str], float]) -> Rate:
    """Return what the lookups of a cache by tier and outcome come to."""

    def sum_of(outcome: str, *tiers: str) -> int:
        return int(sum(lookups.get((tier, outcome), 0) for tier in tiers))

    # What memory does not have is looked for in the store, where there is one.
    shared = any(count for (tier, _), count in lookups.items() if tier == "shared")
    misses = sum_of("miss", "shared") + sum_of("error", "shared") if shared else sum_of("miss", "memory")
    return Rate(
        sum_of("hit", "memory", "shared"), sum_of("stale", "memory", "shared"), misses, sum_of("loaded", "source")
    )


def rates_of(snapshot: Snapshot) -> dict[str, Rate]:
    """Return what a snapshot of one process or of several tells of each cache."""
    counted: dict[str, dict[tuple[str, str], float]] = {}
    for family in snapshot.families:
        for sample in family.samples if family.name == LOOKUPS.name else ():
            labels = dict(sample.labels)
            lookups = counted.setdefault(labels.get("cache", ""), {})
            lookups[labels.get("tier", ""), labels.get("outcome", "")] = sample.value
    return {cache: rate_of(lookups) for cache, lookups in counted.items()}
