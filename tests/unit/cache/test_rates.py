"""The share of hits, from what processes counted."""

from __future__ import annotations

from roadworthy.cache.metrics import LOOKUPS
from roadworthy.cache.rates import Rate, rate_of, rates_of
from roadworthy.telemetry.exposition import Family, Series, Snapshot


def test_a_miss_counts_where_the_value_was_looked_for_last() -> None:
    memory = {("memory", "hit"): 6.0, ("memory", "miss"): 2.0, ("source", "loaded"): 2.0}
    assert rate_of(memory) == Rate(6, 0, 2, 2)
    assert rate_of(memory).ratio == 0.75
    both = {**memory, ("shared", "hit"): 1.0, ("shared", "error"): 1.0}
    assert rate_of(both) == Rate(7, 0, 1, 2)


def test_a_stale_value_is_one_that_was_found() -> None:
    assert rate_of({("memory", "stale"): 1.0, ("shared", "stale"): 1.0, ("shared", "miss"): 2.0}).ratio == 0.5


def test_of_what_nobody_looked_for_there_is_no_share() -> None:
    assert rate_of({}).ratio is None
    assert rates_of(Snapshot()) == {}


def test_a_snapshot_tells_of_each_cache() -> None:
    series = tuple(
        Series((cache, "memory", outcome), (value,))
        for cache, outcome, value in (("prices", "hit", 3.0), ("prices", "miss", 1.0), ("people", "miss", 1.0))
    )
    other = Family("cache_entries", "gauge", "", "sum", ("cache",), (), (Series(("prices",), (9.0,)),))
    snapshot = Snapshot((other, Family(LOOKUPS.name, "counter", "", "sum", LOOKUPS.label_names, (), series)))
    assert rates_of(snapshot) == {"prices": Rate(3, 0, 1, 0), "people": Rate(0, 0, 1, 0)}
