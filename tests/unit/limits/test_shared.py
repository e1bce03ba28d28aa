"""A limit that several processes share: leases, remembered denials, and a store that is away."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limited import Clock, SharedStore, at_once
from roadworthy.limits.limiter import Limiter
from roadworthy.limits.quota import ALGORITHMS, Quota
from roadworthy.limits.spec import LimitSpec, quotas_of


def process(clock: Clock, store: SharedStore, *rates: str | Quota, processes: int = 1, **options: Any) -> Limiter:
    spec = LimitSpec("api", quotas_of("api", rates), **options)
    return Limiter(spec, "shop", store, processes=processes, clock=clock, wall=clock)


def test_without_leases_each_decision_asks_the_store(clock: Clock, store: SharedStore) -> None:
    one, other = (process(clock, store, "4/minute", lease=0) for _ in range(2))
    decisions = [at_once(limit.check("ann")) for _ in range(2) for limit in (one, other)]

    assert [decision.admitted for decision in decisions] == [True] * 4
    assert [decision.remaining for decision in decisions] == [3, 2, 1, 0]
    assert {decision.source for decision in decisions} == {"store"}
    assert store.asked == [(("shop:api:0:gcra:60:ann",), 1, 1)] * 4
    assert not at_once(one.check("ann")).admitted


def test_who_comes_often_is_served_from_a_lease(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "1000/minute")
    sources = []
    for _ in range(500):
        sources.append(at_once(limit.check("ann")).source)
        clock.at += 0.06

    assert sources.count("lease") > 450
    assert len(store.asked) < 50
    assert max(most for _, _, most in store.asked) <= 1 + limit.spec.most_ahead
    assert limit.counts.lease_admitted + limit.counts.store_admitted == 500


def test_who_comes_seldom_takes_nothing_ahead(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "100/minute")
    for _ in range(20):
        assert at_once(limit.check("ann")).admitted
        clock.at += 30
    assert {most for _, _, most in store.asked} == {1}
    assert limit.counts.leased == 0


def test_a_lease_leaves_others_half_of_what_is_there(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "100/minute", lease=0.5)
    for _ in range(10):
        at_once(limit.check("ann"))
    assert max(most for _, _, most in store.asked) <= 51
    for _ in range(200):
        at_once(limit.check("ann"))
    assert limit.counts.admitted == 100


def test_a_full_quota_spread_over_processes_is_not_denied(clock: Clock, store: SharedStore) -> None:
    processes = [process(clock, store, "100/minute") for _ in range(4)]
    denied = 0
    for number in range(500):
        denied += not at_once(processes[number % 4].check("ann")).admitted
        clock.at += 0.62
    assert denied == 0


def test_a_lease_that_is_not_used_in_time_is_lost(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "100/minute")
    for _ in range(3):
        at_once(limit.check("ann"))
    assert limit.counts.leased > 0
    clock.at += 3600
    assert at_once(limit.check("ann")).source == "store"
    assert limit.counts.lost == limit.counts.leased - limit.counts.lease_admitted


quotas = st.builds(
    lambda algorithm, count: Quota.parse(f"{count}/minute", algorithm=algorithm),
    st.sampled_from(ALGORITHMS),
    st.sampled_from((1, 5, 20, 100)),
)


@given(
    quotas,
    st.integers(1, 4),
    st.sampled_from((0.0, 0.1, 0.5)),
    st.lists(
        st.tuples(st.sampled_from((0.0, 0.01, 0.3, 5.0, 29.0, 61.0)), st.integers(0, 3), st.integers(1, 3)), max_size=80
    ),
    st.integers(1, 30),
)
@settings(max_examples=200, deadline=None)
def test_no_more_is_admitted_than_the_quota_and_what_each_process_may_hold(
    quota: Quota, number: int, lease: float, asked: list[tuple[float, int, int]], bunch: int
) -> None:
    clock = Clock()
    store = SharedStore(clock)
    processes = [process(clock, store, quota, lease=lease) for _ in range(number)]
    admitted = []
    for gap, which, cost in asked:
        clock.at += gap
        decisions = [at_once(processes[which % number].check("ann", cost)) for _ in range(bunch)]
        admitted.append((clock.at, cost * sum(decision.admitted for decision in decisions)))
    bound = quota.most_in_period + number * processes[0].spec.most_ahead
    for start in {at for at, _ in admitted}:
        assert sum(units for at, units in admitted if start <= at < start + quota.seconds) <= bound


def test_a_denial_is_remembered_and_asks_the_store_nothing(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "1/minute")
    assert at_once(limit.check("ann")).admitted
    first = at_once(limit.check("ann"))
    asked = len(store.asked)

    for passed in range(60):
        clock.at = 1000.0 + passed
        decision = at_once(limit.check("ann"))
        assert (decision.admitted, decision.source) == (False, "denial")
        assert decision.retry_after == pytest.approx(60 - passed)
    assert len(store.asked) == asked
    assert (first.admitted, first.source) == (False, "store")

    clock.at = 1060.0
    assert at_once(limit.check("ann")).admitted
    assert (limit.counts.store_denied, limit.counts.denial_denied) == (1, 60)


def test_a_denial_of_much_says_nothing_of_less(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "5/minute", lease=0)
    assert at_once(limit.check("ann", 3)).admitted
    assert not at_once(limit.check("ann", 4)).admitted
    asked = len(store.asked)
    assert not at_once(limit.check("ann", 5)).admitted
    assert len(store.asked) == asked
    assert at_once(limit.check("ann", 2)).admitted


def test_what_is_at_hand_counts_towards_a_larger_cost(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "100/minute")
    for _ in range(2):
        at_once(limit.check("ann"))
    held = limit.counts.leased
    assert held > 0
    assert at_once(limit.check("ann", held + 5)).admitted
    assert store.asked[-1][1] == 5
    taken = 100 - at_once(limit.check("zoe")).remaining
    assert taken == 1


def test_a_cost_that_is_never_admitted_asks_the_store_nothing(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "10/minute", "100/hour")
    decision = at_once(limit.check("ann", 11))
    assert (decision.admitted, decision.retry_after, decision.index) == (False, math.inf, 0)
    assert store.asked == []


def test_several_quotas_are_asked_about_in_one_step(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "5/minute", Quota.parse("7/hour", algorithm="sliding_log"), lease=0)
    decisions = [at_once(limit.check("ann")) for _ in range(6)]
    assert store.asked[0][0] == ("shop:api:0:gcra:60:ann", "shop:api:1:sliding_log:3600:ann")
    assert [decision.index for decision in decisions] == [0] * 6
    assert not decisions[-1].admitted
    clock.at += 60
    decisions = [at_once(limit.check("ann")) for _ in range(3)]
    assert [(decision.admitted, decision.index) for decision in decisions] == [(True, 1), (True, 1), (False, 1)]


@pytest.mark.parametrize(("on_error", "admitted"), [("allow", 20), ("deny", 0), ("local", 2)])
def test_a_store_that_is_away_does_what_was_declared(
    clock: Clock, store: SharedStore, on_error: str, admitted: int
) -> None:
    limit = process(clock, store, "10/minute", processes=4, on_error=on_error)
    store.down = True
    decisions = [at_once(limit.check("ann")) for _ in range(20)]

    assert sum(decision.admitted for decision in decisions) == admitted
    assert {decision.source for decision in decisions} == {"on_error"}
    assert all((decision.retry_after > 0) == (not decision.admitted) for decision in decisions)
    assert all(math.isfinite(decision.retry_after) for decision in decisions)
    assert {decision.quota for decision in decisions} == {limit.spec.quotas[0]}
    assert limit.counts.store_errors == 20
    assert (limit.counts.on_error_admitted, limit.counts.on_error_denied) == (admitted, 20 - admitted)

    store.down = False
    assert at_once(limit.check("ann")).source == "store"


def test_a_cost_above_a_local_share_may_come_again(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "10/minute", processes=4, on_error="local")
    store.down = True
    decision = at_once(limit.check("ann", 8))
    assert not decision.admitted
    assert math.isfinite(decision.retry_after)


def test_what_is_leased_goes_on_while_the_store_is_away(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "100/minute", on_error="deny")
    for _ in range(2):
        at_once(limit.check("ann"))
    store.down = True
    decisions = [at_once(limit.check("ann")) for _ in range(20)]
    held = limit.counts.leased
    assert [decision.source for decision in decisions] == ["lease"] * held + ["on_error"] * (20 - held)


def test_a_shadow_limit_denies_nobody_whatever_denied(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "1/minute", shadow=True, on_error="deny")
    decisions = [at_once(limit.check("ann")) for _ in range(3)]
    decisions.append(at_once(limit.check("ann", 2)))
    store.down = True
    decisions.append(at_once(limit.check("bob")))
    assert [decision.source for decision in decisions] == ["store", "store", "denial", "denial", "on_error"]
    assert all(decision.admitted for decision in decisions)
    assert limit.counts.shadowed == 4


async def test_one_question_at_a_time_takes_ahead(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "100/minute")
    at_once(limit.check("ann"))
    store.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(limit.check("ann")) for _ in range(50)]
        await asyncio.sleep(0)
        store.gate.set()
    assert all(task.result().admitted for task in tasks)
    assert sorted({most for _, _, most in store.asked[1:]}) == [1, 11]
    assert sum(most > 1 for _, _, most in store.asked) == 1


async def test_who_is_cancelled_while_asking_gives_back_what_was_at_hand(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "100/minute")
    for _ in range(2):
        at_once(limit.check("ann"))
    held = limit.counts.leased
    store.gate = asyncio.Event()
    task = asyncio.create_task(limit.check("ann", held + 1))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()

    store.gate = None
    decisions = [at_once(limit.check("ann")) for _ in range(held + 1)]
    assert [decision.source for decision in decisions] == ["lease"] * held + ["store"]


def test_the_keys_of_a_process_are_bounded(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "100/minute", keys=100)
    for number in range(1000):
        at_once(limit.check(f"key {number}"))
    assert limit.keys == 100


def test_a_long_key_is_short_in_the_store(clock: Clock, store: SharedStore) -> None:
    limit = process(clock, store, "2/minute", lease=0)
    for _ in range(3):
        decision = at_once(limit.check("x" * 10_000))
    assert not decision.admitted
    assert len(store.asked[0][0][0]) < 150
