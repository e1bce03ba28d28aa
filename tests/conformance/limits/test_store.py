"""What every store promises, for every algorithm."""

from __future__ import annotations

import asyncio
import math

import pytest

from roadworthy.limits.quota import BURSTING, Algorithm
from roadworthy.limits.store import Store, Verdict

from .conftest import Counting
from .stores import INSTANT, SHARED, FakeClock


async def test_what_there_is_can_be_had_and_no_more(store: Store, algorithm: Algorithm, counting: Counting) -> None:
    one = counting("5/minute", algorithm)
    for left in (4, 3, 2, 1, 0):
        (verdict,) = await store.take([one])
        assert (verdict.granted, verdict.remaining, verdict.retry_after) == (1, left, 0)
        assert verdict.reset_after > 0
    (verdict,) = await store.take([one])
    assert (verdict.granted, verdict.remaining) == (0, 0)
    assert 0 < verdict.retry_after <= verdict.reset_after


@pytest.mark.parametrize("cost", [1, 3, 5])
@pytest.mark.parametrize("already", [1, 3, 4, 5])
async def test_it_is_admitted_after_retry_after_and_not_before(
    store: Store, algorithm: Algorithm, counting: Counting, clock: FakeClock, cost: int, already: int
) -> None:
    one = counting("5/minute", algorithm)
    clock.now += 7
    await store.take([one], already)
    clock.now += 13
    (denied,) = await store.take([one], cost)
    if denied.granted:
        assert denied.retry_after == 0
        (denied,) = await store.take([one], cost)
    if denied.granted:
        return
    asked = clock.now
    # A sixteenth of a unit early is soon enough.
    clock.now = asked + denied.retry_after - max(INSTANT, 60 / 5 / 8)
    if clock.now > asked:
        (before,) = await store.take([one], cost)
        assert before.granted == 0
        assert asked + denied.retry_after == pytest.approx(clock.now + before.retry_after, abs=INSTANT)
    clock.now = asked + denied.retry_after + INSTANT
    (after,) = await store.take([one], cost)
    assert (after.granted, after.retry_after) == (cost, 0)


async def test_all_of_it_can_be_had_after_reset_after_and_not_before(
    store: Store, algorithm: Algorithm, counting: Counting, clock: FakeClock
) -> None:
    one = counting("5/minute", algorithm)
    clock.now += 7
    await store.take([one], 2)
    clock.now += 13
    (last,) = await store.take([one], 2)
    taken = clock.now
    clock.now = taken + last.reset_after - max(INSTANT, 60 / 5 / 8)
    (before,) = await store.take([one], 5)
    assert before.granted == 0
    clock.now = taken + last.reset_after + INSTANT
    (after,) = await store.take([one], 5)
    assert (after.granted, after.remaining) == (5, 0)


async def test_what_costs_more_than_there_ever_is_never_comes(
    store: Store, algorithm: Algorithm, counting: Counting
) -> None:
    one = counting("5/minute", algorithm)
    assert await store.take([one], 6) == [Verdict(0, 5, math.inf, 0)]
    (verdict,) = await store.take([one], 5)
    assert verdict.granted == 5


async def test_several_counters_give_all_or_nothing(store: Store, algorithm: Algorithm, counting: Counting) -> None:
    tight, wide = counting("3/minute", algorithm), counting("10/hour", "gcra")
    third = counting("5/minute", "fixed_window")
    first = await store.take([tight, wide, third], 2)
    assert [(one.granted, one.remaining) for one in first] == [(2, 1), (2, 8), (2, 3)]
    second = await store.take([wide, tight, third], 2)
    assert [(one.granted, one.remaining) for one in second] == [(0, 8), (0, 1), (0, 3)]
    assert [one.retry_after > 0 for one in second] == [False, True, False]
    third_verdicts = await store.take([tight, third, wide])
    assert [(one.granted, one.remaining) for one in third_verdicts] == [(1, 0), (1, 2), (1, 7)]


async def test_as_much_is_granted_as_all_have(store: Store, algorithm: Algorithm, counting: Counting) -> None:
    one, other = counting("10/minute", algorithm), counting("7/minute", algorithm)
    verdicts = await store.take([one, other], 2, 4)
    assert [(verdict.granted, verdict.remaining) for verdict in verdicts] == [(4, 6), (4, 3)]
    verdicts = await store.take([one, other], 2, 4)
    assert [(verdict.granted, verdict.remaining) for verdict in verdicts] == [(3, 3), (3, 0)]
    verdicts = await store.take([one, other], 2, 4)
    assert [verdict.granted for verdict in verdicts] == [0, 0]
    (verdict,) = await store.take([one], 3, 1)
    assert verdict.granted == 3, "what is needed counts where it is more than the most"


@pytest.mark.parametrize("algorithm", BURSTING)
async def test_a_burst_is_a_number_of_its_own(
    store: Store, algorithm: Algorithm, counting: Counting, clock: FakeClock
) -> None:
    one = counting("60/minute", algorithm, burst=3)
    assert await store.take([one], 3) == [Verdict(3, 0, 0, 3)]
    assert await store.take([one]) == [Verdict(0, 0, 1, 3)]
    clock.now += 1.5
    (verdict,) = await store.take([one])
    assert (verdict.granted, verdict.remaining) == (1, 0)
    clock.now += 60
    assert await store.take([one], 4) == [Verdict(0, 3, math.inf, 0)]
    patient = counting("60/minute", algorithm, burst=300)
    assert await store.take([patient], 300) == [Verdict(300, 0, 0, 300)]


async def test_windows_begin_at_multiples_of_the_period(store: Store, counting: Counting, clock: FakeClock) -> None:
    fixed, sliding = counting("4/minute", "fixed_window"), counting("4/minute", "sliding_window")
    clock.now += 59
    assert await store.take([fixed, sliding], 4) == [Verdict(4, 0, 0, 1), Verdict(4, 0, 0, 61)]
    clock.now += 2
    assert await store.take([fixed], 4) == [Verdict(4, 0, 0, 59)]
    # One of sixty seconds of this window has passed, so nearly all of the one before counts; after fifteen, one less.
    assert await store.take([sliding]) == [Verdict(0, 0, 14, 59)]
    clock.now += 14
    assert await store.take([sliding]) == [Verdict(1, 0, 0, 105)]


async def test_a_log_is_exact(store: Store, counting: Counting, clock: FakeClock) -> None:
    one = counting("3/minute", "sliding_log")
    for _ in range(3):
        clock.now += 10
        await store.take([one])
    assert await store.take([one], 2) == [Verdict(0, 0, 50, 60)]
    clock.now += 40
    assert await store.take([one]) == [Verdict(1, 0, 0, 60)]
    clock.now += 20
    assert await store.take([one], 3) == [Verdict(0, 2, 40, 40)]
    assert await store.take([one], 2) == [Verdict(2, 0, 0, 60)]
    clock.now += 1000
    assert await store.take([one], 3) == [Verdict(3, 0, 0, 60)]


async def test_a_large_log_is_cleared_whole_and_in_part(store: Store, counting: Counting, clock: FakeClock) -> None:
    one = counting("10000/minute", "sliding_log")
    for part in (2500, 4000, 3500):
        (verdict,) = await store.take([one], part)
        assert verdict.granted == part
        clock.now += 10
    clock.now += 45
    (verdict,) = await store.take([one], 6501)
    assert (verdict.granted, verdict.remaining, verdict.retry_after) == (0, 6500, pytest.approx(5))
    (verdict,) = await store.take([one], 6500)
    assert (verdict.granted, verdict.remaining) == (6500, 0)


@pytest.mark.parametrize("key", ["", "a\0b", "{}}{", "ключ", "\udc80", "x" * 1000, "$1; --'\"\n%"], ids=ascii)
async def test_any_text_is_a_key(store: Store, counting: Counting, key: str) -> None:
    one, other = counting("2/minute", name=f"n{key}"), counting("2/minute", name=f"n{key} ")
    await store.take([one], 2)
    assert [verdict.granted for verdict in await store.take([one])] == [0]
    assert [verdict.granted for verdict in await store.take([other])] == [1]


async def test_of_many_who_ask_at_once_as_many_are_admitted_as_there_are_units(
    store: Store, algorithm: Algorithm, counting: Counting
) -> None:
    hot, wide = counting("100/minute", algorithm), counting("1000/minute", algorithm)
    answers = await asyncio.gather(*(store.take([hot, wide] if n % 2 else [hot]) for n in range(300)))
    assert sum(answer[0].granted for answer in answers) == 100
    left = [answer[0].remaining for answer in answers if answer[0].granted]
    assert sorted(left) == list(range(100)), "each was told of what was left after it"
    several = sum(len(answer) == 2 and answer[0].granted for answer in answers)
    (verdict,) = await store.take([wide])
    assert verdict.remaining == 1000 - several - 1


async def test_who_is_cancelled_takes_nobody_along(store: Store, algorithm: Algorithm, counting: Counting) -> None:
    one = counting("100/minute", algorithm)
    tasks = [asyncio.create_task(store.take([one])) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, list) and answer[0].granted for answer in answers[1::2])
    (verdict,) = await store.take([one])
    assert 49 <= verdict.remaining <= 74


async def test_numbers_may_be_large(store: Store, counting: Counting, clock: FakeClock) -> None:
    million = counting("1000000/day")
    (verdict,) = await store.take([million], 999_999)
    assert (verdict.granted, verdict.remaining) == (999_999, 1)
    quick = counting("1000000000/s")
    (verdict,) = await store.take([quick], 1_000_000_000)
    assert verdict.granted == 1_000_000_000
    (verdict,) = await store.take([quick], 1_000_000)
    assert (verdict.granted, verdict.retry_after) == (0, pytest.approx(0.001, abs=INSTANT))
    clock.now += 0.0015
    (verdict,) = await store.take([quick], 1_000_000)
    assert verdict.granted == 1_000_000
    patient = counting("1/day", burst=1_000_000_000)
    (verdict,) = await store.take([patient], 500_000_000)
    assert verdict.granted == 500_000_000
    assert verdict.reset_after == pytest.approx(500_000_000 * 86400)


@pytest.mark.parametrize("kind", SHARED)
async def test_a_quota_may_be_declared_anew(store: Store, algorithm: Algorithm, counting: Counting) -> None:
    await store.take([counting("10/minute", algorithm, name="one")], 6)
    (verdict,) = await store.take([counting("20/minute", algorithm, name="one")])
    assert (verdict.granted, verdict.remaining) == (1, 13)
    (verdict,) = await store.take([counting("5/minute", algorithm, name="one")])
    assert (verdict.granted, verdict.remaining) == (0, 0)
