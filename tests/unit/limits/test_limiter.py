"""A limit that counts in the memory of one process."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limited import Clock, at_once
from roadworthy.limits.limiter import Limiter
from roadworthy.limits.policy import policy_of, take
from roadworthy.limits.quota import ALGORITHMS, Algorithm, Quota
from roadworthy.limits.spec import LimitSpec, quotas_of


def limiter(clock: Clock, *rates: str | Quota, **options: Any) -> Limiter:
    spec = LimitSpec("api", quotas_of("api", rates), **options)
    return Limiter(spec, "shop", clock=clock, wall=clock)


def test_a_decision_says_what_is_left_and_when_there_is_more(clock: Clock) -> None:
    limit = limiter(clock, "3/minute")

    decisions = [at_once(limit.check("ann")) for _ in range(4)]
    assert [decision.admitted for decision in decisions] == [True, True, True, False]
    assert [decision.remaining for decision in decisions] == [2, 1, 0, 0]
    assert [decision.retry_after for decision in decisions] == [0, 0, 0, pytest.approx(20)]
    assert [decision.reset_after for decision in decisions] == pytest.approx([20, 40, 60, 60])
    assert {(decision.limit, decision.index, decision.source) for decision in decisions} == {("api", 0, "memory")}
    assert decisions[0].quota is limit.spec.quotas[0]
    assert (limit.counts.memory_admitted, limit.counts.memory_denied) == (3, 1)


def test_keys_are_counted_apart(clock: Clock) -> None:
    limit = limiter(clock, "1/minute")
    assert at_once(limit.check("ann")).admitted
    assert at_once(limit.check("bob")).admitted
    assert not at_once(limit.check("ann")).admitted
    assert limit.keys == 2


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_cost_above_what_may_come_at_once_is_never_admitted(clock: Clock, algorithm: Algorithm) -> None:
    limit = limiter(clock, Quota(5, timedelta(minutes=1), None, algorithm))
    for _ in range(3):
        decision = at_once(limit.check("ann", 6))
        assert (decision.admitted, decision.retry_after) == (False, math.inf)
        clock.at += 10_000
    assert at_once(limit.check("ann", 5)).admitted


def test_a_denial_takes_nothing(clock: Clock) -> None:
    limit = limiter(clock, "3/minute")
    assert not at_once(limit.check("ann", 4)).admitted
    assert at_once(limit.check("ann", 2)).admitted
    decision = at_once(limit.check("ann", 2))
    assert (decision.admitted, decision.remaining, decision.retry_after) == (False, 1, pytest.approx(20))
    assert at_once(limit.check("ann", 1)).admitted


@given(
    st.integers(1, 20),
    st.sampled_from((None, 1, 5, 30)),
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 6)), max_size=50),
)
@settings(max_examples=100, deadline=None)
def test_the_quick_way_decides_as_the_algorithm_does(
    count: int, burst: int | None, asked: list[tuple[float, int]]
) -> None:
    clock, quota = Clock(), Quota(count, timedelta(minutes=1), burst)
    limit, policy, state = limiter(clock, quota), policy_of(quota), None
    for gap, cost in asked:
        clock.at += gap
        (state,), (verdict,) = take([policy], [state], clock.at, cost, cost)
        decision = limit.quick("ann", cost)
        assert decision is not None
        assert decision.admitted == (verdict.granted == cost)
        assert decision.remaining == verdict.remaining
        assert decision.retry_after == pytest.approx(verdict.retry_after)
        assert decision.reset_after == pytest.approx(verdict.reset_after)


def test_of_several_quotas_the_strictest_answers(clock: Clock) -> None:
    limit = limiter(clock, "5/minute", "8/hour")

    decisions = [at_once(limit.check("ann")) for _ in range(5)]
    assert [decision.index for decision in decisions] == [0] * 5
    assert [decision.remaining for decision in decisions] == [4, 3, 2, 1, 0]
    denied = at_once(limit.check("ann"))
    assert (denied.admitted, denied.index, denied.retry_after) == (False, 0, pytest.approx(12))

    clock.at += 60
    decisions = [at_once(limit.check("ann")) for _ in range(4)]
    assert [decision.admitted for decision in decisions] == [True, True, True, False]
    assert [decision.index for decision in decisions] == [1] * 4
    assert decisions[-1].retry_after == pytest.approx(3600 / 8 - 60)


def test_where_one_quota_denies_none_is_taken_from(clock: Clock) -> None:
    limit = limiter(clock, "5/minute", Quota.parse("2/hour", algorithm="fixed_window"))
    for _ in range(50):
        at_once(limit.check("ann"))
    clock.at += 3600
    assert [at_once(limit.check("ann")).admitted for _ in range(3)] == [True, True, False]


def test_a_shadow_limit_counts_its_denials_and_admits(clock: Clock) -> None:
    for limit in (limiter(clock, "1/minute", shadow=True), limiter(clock, "1/minute", "2/hour", shadow=True)):
        decisions = [at_once(limit.check("ann")) for _ in range(3)]
        assert all(decision.admitted and decision.retry_after == 0 for decision in decisions)
        assert (limit.counts.admitted, limit.counts.denied, limit.counts.shadowed) == (1, 2, 2)


def test_a_long_key_counts_as_itself_and_takes_no_more_room(clock: Clock) -> None:
    limit = limiter(clock, "1/minute")
    long, other = "x" * 10_000, "x" * 10_000 + "y"
    assert at_once(limit.check(long)).admitted
    assert not at_once(limit.check(long)).admitted
    assert at_once(limit.check(other)).admitted
    assert limit.keys == 2


def test_no_more_keys_are_remembered_than_declared(clock: Clock) -> None:
    limit = limiter(clock, "10/minute", keys=100)
    for number in range(1000):
        at_once(limit.check(f"key {number}"))
    assert limit.keys == 100
    assert limit.evictions == 900


def test_a_clock_that_is_set_moves_no_window(clock: Clock) -> None:
    wall = Clock()
    spec = LimitSpec("api", quotas_of("api", "1/minute", algorithm="fixed_window"))
    limit = Limiter(spec, "shop", clock=clock, wall=wall)
    assert at_once(limit.check("ann")).admitted
    wall.at += 10_000
    assert not at_once(limit.check("ann")).admitted


def test_one_that_is_closed_knows_nothing(clock: Clock) -> None:
    limit = limiter(clock, "1/minute")
    limit.close()
    assert limit.closed
    assert limit.quick("ann") is None
