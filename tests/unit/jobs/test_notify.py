"""Wake-ups: the first at once, the rest for a tenth of the time at most, none lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.notify import Notifier


async def test_a_burst_is_sent_as_two() -> None:
    sent: list[list[str]] = []

    async def send(queues: list[str]) -> None:
        sent.append(queues)
        await asyncio.sleep(0.005)

    notifier = Notifier(send, interval=timedelta(milliseconds=20))
    notifier.wake([])
    for n in range(100):
        notifier.wake(["a", "b"] if n % 2 else ["a"])
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    assert sent == [["a"], ["a", "b"]] or sent == [["a", "b"], ["a", "b"]]
    notifier.wake(["c"])
    await asyncio.sleep(0.01)
    assert sent[-1] == ["c"]
    await notifier.close()


async def test_closing_sends_what_is_held_back() -> None:
    sent: list[list[str]] = []

    now = 0.0

    async def send(queues: list[str]) -> None:
        nonlocal now
        now += 1000
        sent.append(queues)

    notifier = Notifier(send, interval=timedelta(hours=1), clock=lambda: now)
    notifier.wake(["a"])
    await asyncio.sleep(0.01)
    notifier.wake(["b"])
    await notifier.close()
    await notifier.close()
    assert sent == [["a"], ["b"]]


async def test_a_hint_that_cannot_be_sent_is_dropped() -> None:
    calls = 0

    async def send(queues: list[str]) -> None:
        nonlocal calls
        calls += 1
        raise DatabaseUnavailable("away")

    notifier = Notifier(send, interval=timedelta(0))
    for expected in (1, 2):
        notifier.wake(["a"])
        await asyncio.sleep(0.01)
        assert calls == expected
    await notifier.close()


@pytest.mark.parametrize(("takes", "rest"), [(0.0, 0.001), (0.0005, 0.0045), (0.01, 0.01)])
async def test_the_rest_between_two_follows_from_what_one_took_up_to_the_interval(takes: float, rest: float) -> None:
    now, rests = 0.0, list[float]()

    async def send(_queues: list[str]) -> None:
        nonlocal now
        assert notifier.sending
        now += takes

    async def sleep(seconds: float) -> None:
        assert not notifier.sending
        rests.append(seconds)

    notifier = Notifier(send, interval=timedelta(milliseconds=10), clock=lambda: now, sleep=sleep)
    notifier.wake(["a"])
    await asyncio.sleep(0.001)
    assert rests == pytest.approx([rest])
