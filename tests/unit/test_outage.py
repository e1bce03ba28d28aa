"""Outages with a time-out of their own: nobody waits for longer, and a loop that was held up is no outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from roadworthy.outage import Condition, Outages, StoreDown, StoreRefused

TIMEOUT = 0.05


class Silent:
    """A store that does not answer until it is told to."""

    def __init__(self) -> None:
        self.answering = asyncio.Event()
        self.probes = 0

    async def call(self, seconds: float | None = None) -> str:
        if seconds is not None:
            await asyncio.sleep(seconds)
        else:
            await self.answering.wait()
        return "answer"

    async def probe(self) -> None:
        self.probes += 1
        if not self.answering.is_set():
            raise StoreDown("still silent")


@pytest.fixture
async def silent() -> Silent:
    return Silent()


@pytest.fixture
def conditions() -> list[Condition]:
    return []


@pytest.fixture
async def outages(silent: Silent, conditions: list[Condition]) -> AsyncIterator[Outages]:
    one = Outages(silent.probe, timeout=TIMEOUT, changed=conditions.append, first_wait=0.01, longest_wait=0.02)
    yield one
    await one.close()


async def test_all_who_wait_fail_after_the_time_out_of_the_first(outages: Outages, silent: Silent) -> None:
    began = time.monotonic()
    first = asyncio.create_task(outages.ask(silent.call))
    await asyncio.sleep(TIMEOUT / 2)
    second = asyncio.create_task(outages.ask(silent.call))
    answers = await asyncio.gather(first, second, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["no answer within 0.05 s"] * 2
    assert all(isinstance(answer, StoreDown) for answer in answers)
    assert TIMEOUT <= time.monotonic() - began < 20 * TIMEOUT
    assert first.cancelling() == second.cancelling() == 0
    with pytest.raises(StoreDown):
        await outages.ask(silent.call)


async def test_it_ends_with_the_first_probe_that_is_answered(
    outages: Outages, silent: Silent, conditions: list[Condition]
) -> None:
    with pytest.raises(StoreDown):
        await outages.ask(silent.call)
    async with asyncio.timeout(60):
        while silent.probes < 3:
            await asyncio.sleep(0.01)
        silent.answering.set()
        while outages.why is not None:
            await asyncio.sleep(0.01)
    assert await outages.ask(silent.call) == "answer"
    assert [condition.open for condition in conditions] == [True, False]


async def test_calls_that_are_answered_in_time_begin_none(
    outages: Outages, silent: Silent, conditions: list[Condition]
) -> None:
    for _ in range(8):
        await asyncio.gather(*(outages.ask(silent.call, seconds) for seconds in (0.0, TIMEOUT / 5, TIMEOUT / 4)))
    assert not conditions


async def test_a_loop_that_was_held_up_is_no_outage(
    outages: Outages, silent: Silent, conditions: list[Condition]
) -> None:
    asked = asyncio.create_task(outages.ask(silent.call))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(silent.answering.set)
    time.sleep(2 * TIMEOUT)  # noqa: ASYNC251
    assert await asked == "answer"
    assert not conditions


async def test_a_refusal_begins_none(outages: Outages, conditions: list[Condition]) -> None:
    async def refuse() -> None:
        raise StoreRefused("full")

    for _ in range(3):
        with pytest.raises(StoreRefused):
            await outages.ask(refuse)
    assert not conditions


async def test_who_is_cancelled_by_others_stays_so(outages: Outages, silent: Silent) -> None:
    asked = asyncio.create_task(outages.ask(silent.call))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.sleep(2 * TIMEOUT)
    assert outages.why is None, "nobody waits any more, so nobody waits too long"
