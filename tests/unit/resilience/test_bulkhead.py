"""Bulkheads: never more at once than declared, in order, whoever is cancelled when."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.errors import BulkheadFull, DeclarationError
from roadworthy.resilience.bulkhead import Bulkhead, BulkheadSpec
from roadworthy.resilience.deadline import DEADLINE, CutShort


def _bulkhead(at_once: int, waiting: int = 0, patience: float = 30) -> Bulkhead:
    return Bulkhead("geocoder", BulkheadSpec(at_once, waiting, timedelta(seconds=patience)))


async def test_beyond_what_may_run_and_wait_calls_are_refused() -> None:
    bulkhead = _bulkhead(2, 1)
    await bulkhead.acquire()
    await bulkhead.acquire()
    waiter = asyncio.create_task(bulkhead.acquire())
    await asyncio.sleep(0)
    with pytest.raises(BulkheadFull, match="2 calls of dependency 'geocoder' run already and 1 wait"):
        await bulkhead.acquire()
    bulkhead.release()
    await waiter
    assert (bulkhead.running, bulkhead.waiting, bulkhead.queued, bulkhead.refused) == (2, 0, 1, 1)


async def test_places_go_to_who_has_waited_longest() -> None:
    bulkhead, order = _bulkhead(1, 10), []
    await bulkhead.acquire()

    async def one(name: int) -> None:
        await bulkhead.acquire()
        order.append(name)
        await asyncio.sleep(0)
        bulkhead.release()

    tasks = [asyncio.create_task(one(name)) for name in range(5)]
    await asyncio.sleep(0)
    bulkhead.release()
    late = asyncio.create_task(one(5))
    await asyncio.gather(*tasks, late)
    assert order == [0, 1, 2, 3, 4, 5]
    assert bulkhead.running == 0


async def test_patience_has_an_end() -> None:
    bulkhead = _bulkhead(1, 1, 0.01)
    await bulkhead.acquire()
    with pytest.raises(BulkheadFull, match=r"within 0\.01 s"):
        await bulkhead.acquire()
    assert bulkhead.waiting == 0
    bulkhead.release()
    await bulkhead.acquire()


async def test_nobody_waits_past_the_callers_deadline() -> None:
    bulkhead = _bulkhead(1, 1)
    await bulkhead.acquire()
    for left in (0.01, -1):
        token = DEADLINE.set(time.monotonic() + left)
        try:
            with pytest.raises(CutShort):
                await bulkhead.acquire()
        finally:
            DEADLINE.reset(token)
    assert bulkhead.waiting == 0


async def test_a_place_given_to_who_is_cancelled_at_that_moment_is_not_lost() -> None:
    bulkhead = _bulkhead(1, 2)
    await bulkhead.acquire()
    first, second = (asyncio.create_task(bulkhead.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    bulkhead.release()
    first.cancel()
    await second
    assert first.cancelled() or (await asyncio.gather(first, return_exceptions=True))
    assert (bulkhead.running, bulkhead.waiting) == (1, 0)


async def test_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    bulkhead = _bulkhead(1, 1)
    await bulkhead.acquire()
    waiter = asyncio.create_task(bulkhead.acquire())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert (bulkhead.running, bulkhead.waiting) == (1, 0)
    bulkhead.release()
    assert bulkhead.running == 0


@settings(max_examples=60, deadline=None)
@given(
    at_once=st.integers(1, 4),
    waiting=st.integers(0, 4),
    calls=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.one_of(st.none(), st.integers(0, 12))), max_size=20
    ),
)
def test_never_more_at_once_and_nothing_left_over(
    at_once: int, waiting: int, calls: list[tuple[int, int, int | None]]
) -> None:
    """Calls begin, last and are cancelled after so many turns of the loop."""

    async def main() -> None:
        bulkhead, running, most = _bulkhead(at_once, waiting), 0, 0

        async def turns(count: int) -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        async def call(begins: int, lasts: int) -> None:
            nonlocal running, most
            await turns(begins)
            await bulkhead.acquire()
            running += 1
            most = max(most, running)
            try:
                assert bulkhead.waiting <= waiting
                await turns(lasts)
            finally:
                running -= 1
                bulkhead.release()

        async def cancelled(task: asyncio.Task[None], after: int) -> None:
            await turns(after)
            task.cancel()

        tasks = [asyncio.create_task(call(begins, lasts)) for begins, lasts, _ in calls]
        enders = [cancelled(task, one[2]) for task, one in zip(tasks, calls, strict=True) if one[2] is not None]
        await asyncio.gather(*enders)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(one is None or isinstance(one, BulkheadFull | asyncio.CancelledError) for one in outcomes)
        assert most <= at_once
        assert bulkhead.most <= at_once
        assert (bulkhead.running, bulkhead.waiting) == (0, 0)

    asyncio.run(main())


@pytest.mark.parametrize(
    "wrong", [{"at_once": 0}, {"at_once": 1, "waiting": -1}, {"at_once": 1, "patience": timedelta(0)}]
)
def test_what_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DeclarationError):
        BulkheadSpec(**wrong)  # type: ignore[arg-type]
