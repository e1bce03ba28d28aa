"""Wake-ups: the first at once, the rest at most one per interval, none lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.notify import Notifier


async def test_a_burst_is_sent_as_two() -> None:
    sent: list[list[str]] = []

    async def send(queues: list[str]) -> None:
        sent.append(queues)

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

    async def send(queues: list[str]) -> None:
        sent.append(queues)

    notifier = Notifier(send, interval=timedelta(hours=1))
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
