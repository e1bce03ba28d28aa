"""Client-side throttling: less is asked of what refuses much, and more again when it accepts."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, strategies

from roadworthy.errors import CallThrottled, DeclarationError
from roadworthy.resilience.throttle import Throttle, ThrottleSpec, rejected_share


class Overloaded(Exception):
    pass


class Backend:
    """Accepts `capacity` calls in each second."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.asked = 0

    async def serve(self) -> None:
        self.asked += 1
        if self.asked > self.capacity:
            raise Overloaded


async def second(throttle: Throttle, backend: Backend, calls: int) -> int:
    """Make so many calls in one second; return how many the backend saw."""
    backend.asked = 0
    for _ in range(calls):
        with suppress(Overloaded, CallThrottled):
            await throttle.call(backend.serve)
    return backend.asked


@pytest.fixture
def now() -> list[float]:
    return [0.0]


def throttle_of(now: list[float], **options: object) -> Throttle:
    draw = random.Random(7)
    return Throttle("store", ThrottleSpec(**options), clock=lambda: now[0], random=draw.random)  # type: ignore[arg-type]


async def test_what_accepts_everything_is_asked_everything(now: list[float]) -> None:
    throttle, backend = throttle_of(now), Backend(1000)

    for _ in range(10):
        assert await second(throttle, backend, 100) == 100
        now[0] += 1

    assert (throttle.rejected, throttle.share()) == (0, 0.0)


async def test_an_overloaded_backend_is_asked_little_more_than_it_can_bear_and_all_of_it_after_it_recovers(
    now: list[float],
) -> None:
    throttle, backend = throttle_of(now, window=timedelta(seconds=10)), Backend(20)

    for _ in range(30):
        asked = await second(throttle, backend, 200)
        now[0] += 1
    # 200 are wanted and 20 accepted: at the balance 2 × 20 are let through, more or less.
    assert 25 <= asked <= 60

    backend.capacity = 1000
    for _ in range(60):
        asked = await second(throttle, backend, 200)
        now[0] += 1
    assert asked == 200
    assert throttle.share() == 0.0


async def test_what_refuses_everything_is_still_asked_a_little(now: list[float]) -> None:
    throttle, backend = throttle_of(now), Backend(0)

    for _ in range(20):
        asked = await second(throttle, backend, 500)
        now[0] += 1

    assert 25 <= asked <= 75
    assert throttle.share() == 0.9
    with pytest.raises(CallThrottled, match="dependency 'store' refused so many calls lately that 90% of them") as held:
        for _ in range(1000):
            throttle.acquire()
    assert (held.value.dependency, held.value.retry_after) == ("store", 1.0)
    now[0] += 60
    assert throttle.share() == 0.0


@given(calls=strategies.integers(0, 10_000), data=strategies.data(), tolerated=strategies.floats(0, 0.9))
def test_the_share_stays_within_its_bounds(calls: int, data: strategies.DataObject, tolerated: float) -> None:
    failures = data.draw(strategies.integers(0, calls))
    spec = ThrottleSpec(failure_share=tolerated)

    share = rejected_share(spec, calls, failures)

    assert 0 <= share <= 0.9
    if calls and failures / calls <= tolerated - 1e-9:
        assert share == 0
    assert share <= rejected_share(spec, calls, min(failures + 1, calls))


async def test_ignored_errors_do_not_count(now: list[float]) -> None:
    throttle = throttle_of(now, failures=(Overloaded,), ignored=(KeyError,), minimum_calls=1)

    async def fail(error: Exception) -> None:
        raise error

    for error in (KeyError(), ValueError()):
        with pytest.raises(type(error)):
            await throttle.call(fail, error)
    assert throttle.share() == 0.0
    for _ in range(2):
        throttle.failed(Overloaded())
    assert throttle.share() > 0.0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"failure_share": 1}, "failure_share=1; it is a share from 0 to below 1"),
        ({"most_rejected": 1}, "most_rejected=1; it is a share above 0 and below 1"),
        ({"window": timedelta(milliseconds=1500)}, "window=0:00:01.500000; give whole seconds"),
        ({"minimum_calls": 0}, "minimum_calls=0; it must be at least 1"),
        ({"failures": (3,)}, "failures= with 3"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        ThrottleSpec(**options)  # type: ignore[arg-type]
    assert complaint in str(refused.value)
