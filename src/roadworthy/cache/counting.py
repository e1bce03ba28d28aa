"""What a cache counts, in plain numbers: metrics read them when they are scraped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from roadworthy.cache.tally import Tally


def _unobserved(_seconds: float) -> None:
    return None


@dataclass(slots=True)
class Counts:
    """The lookups of one cache in this process since it began, by tier and outcome, and what else happened to it."""

    tally: Tally = field(default_factory=Tally)
    memory_stale: int = 0
    memory_misses: int = 0
    shared_hits: int = 0
    shared_stale: int = 0
    shared_misses: int = 0
    shared_errors: int = 0
    loaded: int = 0
    load_errors: int = 0
    late: int = 0
    invalidations: int = 0
    store_errors: int = 0
    observe: Callable[[float], None] = _unobserved
    """Takes the seconds of each loading."""
