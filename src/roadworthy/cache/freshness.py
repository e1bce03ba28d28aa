"""When a value is fresh, refreshed early, stale or dead: pure decisions, with the moment and the chance passed in.

The early refresh is XFetch: A. Vattani, F. Chierichetti, K. Lowenstein, Optimal Probabilistic Cache Stampede
Prevention, VLDB 2015.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Literal

from roadworthy.cache.record import Entry
from roadworthy.cache.spec import CacheSpec

State = Literal["fresh", "early", "stale", "dead"]

_NEVER_BEFORE = 20.0
"""Costs before its end at which a value's early refresh is less likely than one in 10⁸."""


def state_of(entry: Entry, early: float, now: float, chance: float) -> State:
    """Return what to do with an entry at `now`, Unix time in seconds by the store's clock.

    `early` is the beta of XFetch, 0 for off; `chance` a random number above 0, at most 1.
    """
    left = entry.fresh_until - now
    if left > _NEVER_BEFORE * early * entry.cost:
        return "fresh"
    if left > 0:
        return "early" if -early * entry.cost * math.log(chance) >= left else "fresh"
    return "stale" if now < entry.kept_until else "dead"


def quiet_until(entry: Entry, early: float) -> float:
    """Return until when an entry is fresh beyond any chance, Unix time in seconds by the store's clock."""
    return entry.fresh_until - _NEVER_BEFORE * early * entry.cost


def lifetimes(spec: CacheSpec, *, none: bool, ttl: timedelta | None, now: float, chance: float) -> tuple[float, float]:
    """Return until when a value loaded at `now` is fresh and until when it is kept, Unix time in seconds.

    `none` says that the value is None, `ttl` is another than the cache's, `chance` a random number from 0 to 1.
    """
    if ttl is None:
        ttl = spec.negative_ttl if none and spec.negative_ttl is not None else spec.ttl
    fresh_until = now + ttl.total_seconds() * (1 - spec.jitter * chance)
    return fresh_until, fresh_until + spec.stale.total_seconds()
