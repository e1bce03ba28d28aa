"""The guard: a store that is gone keeps one waiting at most, one that refuses is asked and told of now and then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from roadworthy.limits.guard import Guard
from roadworthy.limits.quota import Quota
from roadworthy.limits.store import Counter, StoreDown, Verdict
from roadworthy.outage import StoreRefused

ONE = [Counter("key", Quota.parse("5/minute"))]


class Fickle:
    """A store that raises what it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: StoreDown | None = None
        self.closed = False

    async def take(self, counters: Sequence[Counter], cost: int = 1, most: int = 1) -> list[Verdict]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return [Verdict(max(cost, most), 0, 0.0, 0.0) for _ in counters]

    async def now(self) -> float:
        if self.error is not None:
            raise self.error
        return 5.0

    async def close(self) -> None:
        self.closed = True


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Fickle:
    return Fickle()


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture(params=[None, 5.0])
async def guard(store: Fickle, clock: Time, request: pytest.FixtureRequest) -> AsyncIterator[Guard]:
    one = Guard(store, timeout=request.param, clock=clock)
    yield one
    await one.close()
    assert store.closed


async def test_it_passes_questions_on(guard: Guard) -> None:
    assert await guard.take(ONE, 2, 3) == [Verdict(3, 0, 0.0, 0.0)]
    assert guard.up
    assert not guard.condition.open


async def test_a_store_that_is_gone_is_asked_once(guard: Guard, store: Fickle) -> None:
    store.error = StoreDown("gone")
    for _ in range(5):
        with pytest.raises(StoreDown, match="gone"):
            await guard.take(ONE)
    assert store.asked == 1
    assert not guard.up


async def test_a_store_that_refuses_is_asked_each_time_and_told_of_once_a_minute(
    guard: Guard, store: Fickle, clock: Time, capsys: pytest.CaptureFixture[str]
) -> None:
    store.error = StoreRefused("full")
    for _ in range(3):
        for _ in range(5):
            with pytest.raises(StoreRefused):
                await guard.take(ONE)
        clock.now += 61
    assert store.asked == 15
    assert guard.up
    assert capsys.readouterr().err.count("refuses to count") in (0, 3)
