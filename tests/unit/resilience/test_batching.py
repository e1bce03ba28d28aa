"""Batching: every caller gets the answer to its own key, or its own error, whatever happens to the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.errors import BulkheadFull, DeclarationError, DependencyFailed, KeyNotAnswered
from roadworthy.resilience.batching import Batching, BatchSpec
from roadworthy.resilience.deadline import DEADLINE


class Loader:
    """Answers each key with its square; raises where it is given a key that it cannot bear, and leaves some out."""

    def __init__(self, *, bad: set[int] = frozenset(), missing: set[int] = frozenset(), takes: float = 0) -> None:  # type: ignore[assignment]
        self.bad, self.missing, self.takes = bad, missing, takes
        self.batches: list[list[int]] = []
        self.running = self.most = 0

    async def __call__(self, keys: list[int]) -> Mapping[int, int | Exception]:
        self.batches.append(keys)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.takes)
            if found := self.bad.intersection(keys):
                raise ValueError(f"cannot bear {sorted(found)}")
            return {key: key * key for key in keys if key not in self.missing}
        finally:
            self.running -= 1


def _batching(load: Any, **options: Any) -> Batching[int, int]:
    return Batching(BatchSpec("squares", load, **options))


async def test_who_asks_together_is_answered_by_one_call_each_key_once() -> None:
    load = Loader()
    batching = _batching(load)
    assert await asyncio.gather(*(batching.get(key) for key in (1, 2, 3, 2))) == [1, 4, 9, 4]
    assert load.batches == [[1, 2, 3]]
    assert (batching.batches, batching.keys, batching.shared) == (1, 3, 1)


async def test_a_full_batch_does_not_wait() -> None:
    load = Loader()
    batching = _batching(load, size=2, wait=timedelta(seconds=60), pending=10)
    async with asyncio.timeout(60):
        assert await batching.get_many([1, 2, 3, 4]) == [1, 4, 9, 16]
    assert load.batches == [[1, 2], [3, 4]]


async def test_values_may_come_in_the_order_of_the_keys() -> None:
    async def load(keys: list[int]) -> list[int | Exception]:
        return [ValueError("three") if key == 3 else -key for key in keys]

    batching = _batching(load)
    outcomes = await asyncio.gather(*(batching.get(key) for key in (5, 3, 4)), return_exceptions=True)
    assert outcomes[::2] == [-5, -4]
    assert isinstance(outcomes[1], ValueError)


@pytest.mark.parametrize("answer", [[1], "ab", None, 7])
async def test_a_loader_that_returns_something_else_is_told_what_is_wanted(answer: object) -> None:
    async def load(keys: list[int]) -> Any:
        return answer

    batching = _batching(load)
    outcomes = await asyncio.gather(batching.get(1), batching.get(2), return_exceptions=True)
    assert all(isinstance(one, TypeError) and "return a mapping by key" in str(one) for one in outcomes)


async def test_a_key_without_a_value_is_an_error_for_who_asked_for_it() -> None:
    batching = _batching(Loader(missing={2}))
    outcomes = await asyncio.gather(batching.get(1), batching.get(2), return_exceptions=True)
    assert outcomes[0] == 1
    assert isinstance(outcomes[1], KeyNotAnswered)


async def test_a_key_that_fails_the_whole_batch_is_found_in_a_few_calls() -> None:
    load = Loader(bad={77})
    batching = _batching(load, size=128)
    outcomes = await asyncio.gather(*(batching.get(key) for key in range(128)), return_exceptions=True)
    assert [key for key, one in enumerate(outcomes) if isinstance(one, Exception)] == [77]
    assert len(load.batches) == 1 + 2 * 7


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), DependencyFailed("geocoder is away")])
async def test_where_nobody_answers_it_is_not_asked_again_in_halves(error: Exception) -> None:
    calls = 0

    async def load(keys: list[int]) -> Any:
        nonlocal calls
        calls += 1
        raise error

    batching = _batching(load)
    outcomes = await asyncio.gather(*(batching.get(key) for key in range(50)), return_exceptions=True)
    assert all(one is error for one in outcomes)
    assert calls == 1


async def test_who_is_cancelled_before_the_batch_begins_is_not_asked_for() -> None:
    load = Loader()
    batching = _batching(load, wait=timedelta(seconds=0.01))
    gone, stays = asyncio.create_task(batching.get(1)), asyncio.create_task(batching.get(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 4
    assert load.batches == [[2]]


async def test_who_is_cancelled_while_it_loads_harms_nobody_who_asked_for_the_same() -> None:
    load = Loader(takes=0.01)
    batching = _batching(load)
    first, second = asyncio.create_task(batching.get(1)), asyncio.create_task(batching.get(1))
    while not load.running:
        await asyncio.sleep(0.001)
    first.cancel()
    assert await second == 1
    assert first.cancelled()


async def test_the_loader_runs_in_no_callers_deadline() -> None:
    seen: list[float] = []

    async def load(keys: list[int]) -> dict[int, int]:
        seen.append(DEADLINE.get())
        return dict.fromkeys(keys, 0)

    batching = _batching(load, size=1)
    token = DEADLINE.set(time.monotonic() + 1)
    try:
        await batching.get(1)
    finally:
        DEADLINE.reset(token)
    assert seen == [float("inf")]


async def test_so_many_batches_at_once_and_so_many_keys_may_wait() -> None:
    load = Loader(takes=0.005)
    batching = _batching(load, size=2, at_once=2, pending=8, wait=timedelta(0))
    outcomes = await asyncio.gather(*(batching.get(key) for key in range(20)), return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, BulkheadFull)]
    assert load.most == 2
    # The two that begin at once still wait when the last one comes, for no turn of the loop has passed.
    assert len(refused) == 12 == batching.refused
    assert await batching.get(30) == 900


async def test_a_loader_that_hangs_is_given_up() -> None:
    batching = _batching(Loader(takes=30), timeout=timedelta(seconds=0.01))
    with pytest.raises(TimeoutError):
        await batching.get(1)


async def test_at_the_end_whoever_waits_hears_of_it() -> None:
    load = Loader(takes=30)
    batching = _batching(load, size=1, at_once=1)
    loading, waiting = asyncio.create_task(batching.get(1)), asyncio.create_task(batching.get(2))
    while not load.running:
        await asyncio.sleep(0)
    await batching.close()
    outcomes = await asyncio.gather(loading, waiting, return_exceptions=True)
    assert all(isinstance(one, DependencyFailed) for one in outcomes)


@settings(max_examples=80, deadline=None)
@given(
    size=st.integers(1, 6),
    at_once=st.integers(1, 3),
    bad=st.sets(st.integers(0, 9), max_size=4),
    missing=st.sets(st.integers(0, 9), max_size=3),
    calls=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 5), st.one_of(st.none(), st.integers(0, 10))), max_size=25
    ),
)
def test_everyone_gets_their_own_answer_or_their_own_error(
    size: int, at_once: int, bad: set[int], missing: set[int], calls: list[tuple[int, int, int | None]]
) -> None:
    """Callers ask for a key after so many turns of the loop, and some are cancelled after so many."""

    async def main() -> None:
        load = Loader(bad=bad, missing=missing)
        batching = _batching(load, size=size, at_once=at_once, wait=timedelta(0))

        async def call(key: int, begins: int) -> int:
            for _ in range(begins):
                await asyncio.sleep(0)
            return await batching.get(key)

        async def cancel(task: asyncio.Task[int], after: int) -> None:
            for _ in range(after):
                await asyncio.sleep(0)
            task.cancel()

        tasks = [asyncio.create_task(call(key, begins)) for key, begins, _ in calls]
        enders = [cancel(task, one[2]) for task, one in zip(tasks, calls, strict=True) if one[2] is not None]
        await asyncio.gather(*enders)
        async with asyncio.timeout(60):
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for (key, _, cancelled), outcome in zip(calls, outcomes, strict=True):
            if isinstance(outcome, asyncio.CancelledError):
                assert cancelled is not None
            elif key in bad:
                assert isinstance(outcome, ValueError)
                assert str(outcome) == f"cannot bear [{key}]"
            elif key in missing:
                assert isinstance(outcome, KeyNotAnswered)
            else:
                assert outcome == key * key
        assert load.most <= at_once
        assert all(len(batch) <= size and len(set(batch)) == len(batch) for batch in load.batches)

    asyncio.run(main())


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"at_once": 0},
        {"pending": 5, "size": 6},
        {"wait": timedelta(seconds=-1)},
        {"timeout": timedelta(0)},
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        BatchSpec("squares", Loader(), **wrong)
