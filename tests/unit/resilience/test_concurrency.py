from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.resilience.concurrency import MOST_KINDS, AdaptiveLimit
from unit.resilience.overloaded import Durations, Pooled, answered, percentile, steady

USUAL = 0.02


def drawn(mean: float, seed: int = 5) -> Durations:
    draw = random.Random(seed)
    return lambda: ("one", draw.expovariate(1 / mean))


@pytest.mark.parametrize("slots", [1, 2, 3, 8, 50])
@pytest.mark.parametrize("before", [0.0, 0.3])
def test_a_pool_at_three_times_its_capacity_is_kept_busy_without_a_queue(slots: int, before: float) -> None:
    pooled = Pooled(slots, steady(USUAL))
    capacity = slots / USUAL
    if before:
        assert len(answered(pooled.load(capacity * before, 2))) > capacity * before * 2 * 0.85
    pooled.load(capacity * 3, 3 if slots < 10 else 1)
    seconds = 20 if slots < 5 else 5 if slots < 10 else 2
    took = answered(pooled.load(capacity * 3, seconds))
    assert len(took) / seconds > 0.93 * capacity
    assert percentile(took, 0.5) < 1.6 * USUAL
    assert percentile(took, 0.95) < 2.2 * USUAL
    assert slots <= pooled.limit.limit <= max(1.6 * slots, 2)


def test_what_takes_different_times_is_kept_busy() -> None:
    pooled = Pooled(8, drawn(USUAL))
    pooled.load(100, 5)
    pooled.load(1200, 3)
    took = answered(pooled.load(1200, 20))
    assert len(took) / 20 > 0.9 * 400
    assert 6 <= pooled.limit.limit <= 16


def test_another_mix_of_routes_is_no_queue() -> None:
    draw = random.Random(3)
    slow = [0.0]

    def durations() -> tuple[str, float]:
        return ("slow", 0.2) if draw.random() < slow[0] else ("fast", 0.01)

    pooled = Pooled(1000, durations, initial=40)
    pooled.load(300, 5)
    slow[0] = 0.1
    pooled.load(300, 5)
    slow[0] = 0.3
    outcomes = pooled.load(300, 10)
    # On the average a request takes six times as long as at first, and nothing is wrong.
    assert len(answered(outcomes)) > 0.95 * len(outcomes)
    assert pooled.limit.limit >= 40


def test_a_slow_dependency_does_not_shrink_the_limit_and_a_fast_one_is_noticed() -> None:
    duration = [USUAL]
    pooled = Pooled(1000, lambda: ("one", duration[0]))
    pooled.load(400, 5)
    duration[0] = 10 * USUAL
    pooled.load(400, 5)
    outcomes = pooled.load(400, 5)
    # About 80 are under way at any time, and all are answered.
    assert len(answered(outcomes)) > 0.93 * len(outcomes)
    assert pooled.limit.limit >= 80
    duration[0] = USUAL
    outcomes = pooled.load(400, 5)
    assert len(answered(outcomes)) > 0.98 * len(outcomes)


def test_requests_that_all_time_out_do_not_raise_the_limit() -> None:
    duration = [USUAL]
    pooled = Pooled(1000, lambda: ("one", duration[0]))
    pooled.load(400, 5)
    before = pooled.limit.limit
    pooled.failing, duration[0] = True, 1.0
    pooled.load(400, 60)
    assert pooled.limit.limit <= before
    pooled.failing, duration[0] = False, USUAL
    pooled.load(400, 5)
    outcomes = pooled.load(400, 5)
    assert len(answered(outcomes)) > 0.97 * len(outcomes)


def test_failing_at_once_is_not_taken_for_being_fast() -> None:
    duration = [USUAL]
    pooled = Pooled(8, lambda: ("one", duration[0]))
    pooled.load(1200, 10)
    before = pooled.limit.limit
    pooled.failing, duration[0] = True, 0.001
    pooled.load(1200, 5)
    assert pooled.limit.limit <= before
    assert pooled.limit.usual == pytest.approx(USUAL, rel=0.3)
    pooled.failing, duration[0] = False, USUAL
    took = answered(pooled.load(1200, 5))
    assert percentile(took, 0.95) < 2.2 * USUAL


def test_a_capacity_that_changes_is_followed_both_ways() -> None:
    pooled = Pooled(30, steady(USUAL))
    pooled.load(2500, 3)
    assert 30 <= pooled.limit.limit <= 48
    pooled.slots = 4
    pooled.load(2500, 3)
    assert pooled.limit.limit <= 8
    pooled.slots = 30
    pooled.load(2500, 15)
    assert pooled.limit.limit >= 28


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", None]),
            st.integers(1, 50),
            st.floats(0, 10, allow_nan=False),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=300,
    ),
    st.integers(1, 5),
    st.integers(0, 50),
)
def test_the_limit_stays_within_its_bounds_whatever_is_measured(
    samples: list[tuple[str | None, int, float, bool, bool]], least: int, above: int
) -> None:
    now = [0.0]
    limit = AdaptiveLimit(lambda: now[0], initial=least + above, least=least, most=least + above + 5)
    for kind, in_flight, took, failed, met in samples:
        if met:
            limit.saturate(now[0])
        began = now[0]
        now[0] += took
        limit.ended(kind, in_flight, began, now[0], failed=failed)
        assert least <= limit.limit <= least + above + 5


def test_what_is_remembered_of_kinds_is_bounded() -> None:
    now = [0.0]
    limit = AdaptiveLimit(lambda: now[0])
    for kind in range(3 * MOST_KINDS):
        limit.ended(kind, 1, now[0], now[0] + 0.01)
    assert len(limit._kinds) == MOST_KINDS
