"""Deadlines: as asyncio.timeout, inherited by what is called, and passed on as what is left."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import timedelta

import pytest

from roadworthy.errors import DeadlineExceeded
from roadworthy.resilience.deadline import (
    DEADLINE,
    HEADER,
    Alarm,
    CutShort,
    deadline_headers,
    read_header,
    remaining,
    time_left,
)

SHORT = 0.02
LONG = 0.5
"""For what has to end before, on a busy machine too."""


async def _hang() -> None:
    await asyncio.sleep(30)


async def test_what_takes_too_long_is_ended() -> None:
    alarm = Alarm("geocoder", SHORT)
    with (
        pytest.raises(DeadlineExceeded, match=r"'geocoder' did not answer within 0\.02 s") as caught,
        alarm.limited(),
    ):
        await _hang()
    assert caught.value.dependency == "geocoder"
    assert not isinstance(caught.value, CutShort)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_what_ends_in_time_is_left_alone_and_the_next_is_bounded_too() -> None:
    alarm = Alarm("geocoder", LONG)
    for _ in range(2):
        with alarm.limited():
            await asyncio.sleep(0)
        await asyncio.sleep(LONG * 0.7)
        with alarm.limited():
            await asyncio.sleep(LONG * 0.4)
    with pytest.raises(DeadlineExceeded), alarm.limited():
        await _hang()


async def test_many_at_once_each_end_in_their_own_time() -> None:
    alarm = Alarm("geocoder", SHORT * 5)

    async def one(index: int) -> float | None:
        await asyncio.sleep(index * 0.001)
        began = time.monotonic()
        try:
            with alarm.limited():
                await (asyncio.sleep(0) if index % 2 else _hang())
        except DeadlineExceeded:
            return time.monotonic() - began
        return None

    waits = await asyncio.gather(*(one(index) for index in range(100)))
    assert all(wait is None for wait in waits[1::2])
    assert all(wait is not None and wait >= SHORT * 5 - 0.002 for wait in waits[::2])


async def test_one_timer_of_the_loop_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, armed = asyncio.get_running_loop(), 0
    call_later = loop.call_later

    def counted(*arguments: object, **options: object) -> object:
        nonlocal armed
        armed += 1
        return call_later(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_later", counted)
    alarm = Alarm("geocoder", 30)
    for _ in range(1000):
        with alarm.limited():
            pass
    assert armed == 1
    alarm.close()


async def test_a_cancellation_of_somebody_elses_passes_through() -> None:
    alarm = Alarm("geocoder", 30)

    async def call() -> None:
        with alarm.limited():
            await _hang()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_with_the_end_of_time_wins() -> None:
    alarm = Alarm("geocoder", SHORT)

    async def call() -> None:
        with alarm.limited():
            try:
                await _hang()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(call())


async def test_what_the_call_raises_itself_is_raised() -> None:
    with pytest.raises(KeyError), Alarm("geocoder", 30).limited():
        raise KeyError("a")


async def test_nested_the_tighter_one_rules() -> None:
    outer, inner = Alarm("page", SHORT), Alarm("geocoder", 30)
    with pytest.raises(DeadlineExceeded) as caught, outer.limited(), inner.limited():
        await _hang()
    assert caught.value.dependency in ("page", "geocoder")
    outer, inner = Alarm("page", 30), Alarm("geocoder", SHORT)
    with pytest.raises(DeadlineExceeded) as caught, outer.limited(), inner.limited():
        await _hang()
    assert caught.value.dependency == "geocoder"


async def test_an_inherited_deadline_binds_tasks_that_nobody_cancels() -> None:
    outer, inner = Alarm("page", 10 * SHORT), Alarm("geocoder", 30)

    async def call() -> None:
        with inner.limited():
            await _hang()

    with outer.limited():
        task = asyncio.create_task(call())
    with pytest.raises(CutShort, match="the deadline left of its 30 s"):
        await task


async def test_a_caller_who_left_a_fair_part_of_the_time_out_is_not_to_blame() -> None:
    outer, inner = Alarm("page", SHORT), Alarm("geocoder", 2 * SHORT)

    async def call() -> None:
        with inner.limited():
            await _hang()

    with outer.limited():
        task = asyncio.create_task(call())
        await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded) as caught:
        await task
    assert not isinstance(caught.value, CutShort)


async def test_past_its_deadline_nothing_is_called() -> None:
    token = DEADLINE.set(time.monotonic() - 1)
    try:
        with pytest.raises(CutShort, match="was not called"):
            Alarm("geocoder", 30).limited()
        assert time_left() == timedelta(0)
        assert deadline_headers() == {HEADER: "0"}
    finally:
        DEADLINE.reset(token)


async def test_what_is_left_is_known_within_and_passed_on() -> None:
    assert time_left() is None
    assert remaining() == math.inf
    assert deadline_headers() == {}
    with Alarm("geocoder", 30).limited():
        left = time_left()
        assert left is not None
        assert timedelta(seconds=20) < left <= timedelta(seconds=30)
        assert 20_000 < int(deadline_headers()[HEADER]) <= 30_000
    assert time_left() is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1500", 1.5), ("0", 0.0), ("999999999999", 86400.0), ("", None), ("-5", None), ("1.5", None), ("٣", None)],
)
def test_reading_the_header(value: str, seconds: float | None) -> None:
    assert read_header(value) == seconds
