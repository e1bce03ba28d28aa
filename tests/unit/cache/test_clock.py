"""The store's clock as a process estimates it."""

from __future__ import annotations

from roadworthy.cache.clock import StoreClock
from roadworthy.cache.stamp import seconds_of


class Time:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now


async def _asked(clock: StoreClock, time: Time, answer: float, takes: float) -> None:
    async def ask() -> float:
        time.now += takes / 2
        told = answer + time.now
        time.now += takes / 2
        return told

    await clock.measure(ask)


async def test_an_answer_belongs_to_the_middle_of_its_exchange() -> None:
    time = Time()
    clock = StoreClock(7, monotonic=time, wall=lambda: 500.0)
    assert clock.now() == 500.0
    assert clock.uncertainty == 0.0
    await _asked(clock, time, 1000.0, takes=0.2)
    assert abs(clock.now() - (1000.0 + time.now)) < 1e-9
    assert abs(clock.uncertainty - 0.1) < 1e-9
    await _asked(clock, time, 1000.01, takes=1.0)
    assert abs(clock.now() - (1000.0 + time.now)) < 1e-9, "a worse answer changes nothing"
    await _asked(clock, time, 1000.01, takes=0.02)
    assert abs(clock.now() - (1000.01 + time.now)) < 1e-9
    before = clock.uncertainty
    time.now += 1000
    assert clock.uncertainty > before, "clocks drift"


async def test_a_loading_counts_as_begun_earlier_and_a_change_as_made_later_than_it_may_be() -> None:
    time = Time()
    clock = StoreClock(7, monotonic=time, wall=lambda: 500.0)
    await _asked(clock, time, 1000.0, takes=0.2)
    assert abs(seconds_of(clock.began()) - (clock.now() - 0.1)) < 1e-5
    assert abs(seconds_of(clock.asserted()) - (clock.now() + 0.1)) < 1e-5
    stamps = [clock.asserted() for _ in range(100)]
    assert stamps == sorted(set(stamps))
    assert {stamp & 0xFFF for stamp in stamps} == {7}


async def test_a_value_counts_as_set_no_later_than_it_is_but_after_what_was_heard_of() -> None:
    time = Time()
    clock = StoreClock(7, monotonic=time, wall=lambda: 500.0)
    await _asked(clock, time, 1000.0, takes=0.2)
    assert seconds_of(clock.value(0)) <= clock.now() - 0.1
    deleted = clock.asserted()
    assert clock.value(deleted) > deleted


def test_alone_every_stamp_is_newer_than_the_one_before() -> None:
    clock = StoreClock(7, monotonic=lambda: 1.0, wall=lambda: 500.0)
    stamps = [stamp for _ in range(10) for stamp in (clock.began(), clock.asserted())]
    assert stamps == sorted(set(stamps))
