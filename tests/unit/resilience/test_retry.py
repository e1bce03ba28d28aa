"""Retries: how often, after how long, within which budget, and when rather not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
from hypothesis import given, settings, strategies

from roadworthy.errors import BreakerOpen, BulkheadFull, CallThrottled, DeclarationError
from roadworthy.resilience.budget import Budget
from roadworthy.resilience.deadline import CutShort
from roadworthy.resilience.retry import Retry, RetrySpec
from roadworthy.resilience.retry_after import asked_wait, seconds_of

NOW = 1_800_000_000.0


class Broken(Exception):
    def __init__(self, retry_after: object = None) -> None:
        super().__init__("broken")
        self.retry_after = retry_after


class Time:
    """A clock that the sleeps of a retry move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def retry(
        self,
        spec: RetrySpec | None = None,
        random: Callable[[], float] = lambda: 0.0,
        remaining: Callable[[], float] = lambda: math.inf,
        budget: Budget | None = None,
    ) -> Retry:
        return Retry(
            spec,
            budget=budget,
            clock=lambda: self.now,
            time_of_day=lambda: NOW + self.now,
            random=random,
            sleep=self.sleep,
            remaining=remaining,
        )


def failing(times: int, error: Callable[[], Exception] = Broken) -> tuple[list[int], Callable[[], Awaitable[str]]]:
    calls: list[int] = []

    async def function() -> str:
        calls.append(len(calls) + 1)
        if len(calls) <= times:
            raise error()
        return "here"

    return calls, function


async def test_it_tries_again_until_it_succeeds_or_its_attempts_are_used_up() -> None:
    time = Time()
    retry = time.retry(RetrySpec(attempts=4))
    calls, function = failing(3)

    assert await retry.call(function) == "here"
    assert (len(calls), time.slept) == (4, [0.1, 0.2, 0.4])

    calls, function = failing(10)
    with pytest.raises(Broken):
        await retry.call(function)
    assert (len(calls), retry.retries, retry.exhausted) == (4, 6, 1)
    assert (retry.budget.active, retry.budget.retrying) == (0, 0)


async def test_what_was_not_called_is_not_tried_again_nor_what_is_not_listed() -> None:
    retry = Time().retry(RetrySpec(on=(OSError, BreakerOpen, BulkheadFull, CallThrottled, CutShort)))
    for error in (
        ValueError("wrong"),
        BreakerOpen("open", "x", 1.0),
        BulkheadFull("full"),
        CallThrottled("less"),
        CutShort("late"),
    ):
        calls, function = failing(5, lambda error=error: error)  # type: ignore[misc]
        with pytest.raises(type(error)):
            await retry.call(function)
        assert len(calls) == 1

    calls, function = failing(1, ConnectionResetError)
    await retry.call(function)
    assert len(calls) == 2


async def test_a_result_may_be_worth_another_attempt_and_the_last_one_is_returned() -> None:
    results = iter([SimpleNamespace(status=503, headers={"retry-after": "2"}), SimpleNamespace(status=200)])

    async def ask() -> SimpleNamespace:
        return next(results)

    time = Time()
    retry = time.retry(RetrySpec(on_result=lambda result: getattr(result, "status", 0) == 503))

    assert (await retry.call(ask)).status == 200
    assert time.slept == [2.0]

    async def never() -> SimpleNamespace:
        return SimpleNamespace(status=503)

    assert (await retry.call(never)).status == 503
    assert retry.exhausted == 1


@given(
    jitter=strategies.floats(0, 1),
    random=strategies.floats(0, 1, exclude_max=True),
    growth=strategies.floats(1, 100),
    first=strategies.sampled_from([0.0, 0.001, 0.1, 5.0]),
    attempt=strategies.integers(1, 1000),
)
@settings(max_examples=60, deadline=None)
def test_waits_stay_within_their_bounds(
    jitter: float, random: float, growth: float, first: float, attempt: int
) -> None:
    # So many attempts that the power has passed every bound, but for growths that hardly are one.
    growth = growth if growth > 1.1 else 1.0
    spec = RetrySpec(jitter=jitter, growth=growth, first_wait=timedelta(seconds=first))
    middle = min(spec.first_wait.total_seconds() * growth ** min(attempt - 1, 150), 5.0)

    wait = spec.wait_after(attempt, random)
    asked = spec.wait_when_asked(attempt, 7.0, random)

    assert middle * (1 - jitter) - 1e-9 <= wait <= middle + 1e-9
    assert asked is not None
    assert 7.0 <= asked <= 7.0 + 5.0 * jitter


@given(
    callers=strategies.integers(1, 60),
    share=strategies.floats(0, 1),
    floor=strategies.integers(0, 5),
    attempts=strategies.integers(1, 5),
    steps=strategies.lists(strategies.integers(0, 3), min_size=1, max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_nothing_is_amplified_beyond_the_budget_while_everything_fails(
    callers: int, share: float, floor: int, attempts: int, steps: list[int]
) -> None:
    budget = Budget(share, floor)
    calls = 0
    most = 0

    async def fail(number: int) -> None:
        nonlocal calls, most
        calls += 1
        for _ in range(steps[(number + calls) % len(steps)]):
            await asyncio.sleep(0)
        most = max(most, budget.retrying)
        raise Broken

    async def run() -> int:
        retry = Time().retry(RetrySpec(attempts=attempts, first_wait=timedelta(0)), budget=budget)
        ended = await asyncio.gather(*(retry.call(fail, number) for number in range(callers)), return_exceptions=True)
        assert all(isinstance(one, Broken) for one in ended)
        return retry.retries

    retries = asyncio.run(run())
    bound = max(floor, int(share * callers))

    assert calls == callers + retries
    assert most <= bound
    assert retries <= (attempts - 1) * callers
    assert (budget.active, budget.retrying) == (0, 0)


async def test_a_burst_that_fails_together_is_retried_by_a_fifth_of_it() -> None:
    time = Time()
    retry = time.retry(RetrySpec(attempts=3))
    release = asyncio.Event()
    calls = 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        await release.wait()
        raise Broken

    tasks = [asyncio.create_task(retry.call(fail)) for _ in range(1000)]
    await asyncio.sleep(0)
    release.set()
    await asyncio.wait(tasks)

    # 200 of them at the first failure; when those fail, few are under way any more, and 40 at most try once more.
    assert 1200 <= calls <= 1240
    assert retry.over_budget >= 960


async def test_without_a_budget_every_call_is_retried() -> None:
    retry = Time().retry(RetrySpec(attempts=2, budget_share=None, budget_floor=0))
    calls = 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise Broken

    await asyncio.gather(*(retry.call(fail) for _ in range(50)), return_exceptions=True)
    assert calls == 100


async def test_a_cancelled_wait_gives_the_budget_back() -> None:
    retry = Retry(RetrySpec(first_wait=timedelta(seconds=60), longest_wait=timedelta(seconds=60)))
    tasks = [asyncio.create_task(retry.call(failing(1)[1])) for _ in range(10)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert retry.budget.retrying == 3

    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

    assert (retry.budget.active, retry.budget.retrying) == (0, 0)


@pytest.mark.parametrize(
    "said",
    [
        3,
        3.0,
        "3",
        timedelta(seconds=3),
        datetime.fromtimestamp(NOW + 3, UTC),
        format_datetime(datetime.fromtimestamp(NOW + 3, UTC), usegmt=True),
    ],
)
async def test_it_waits_as_long_as_it_is_asked_to(said: object) -> None:
    time = Time()
    _, function = failing(1, lambda: Broken(said))

    await time.retry(random=lambda: 0.0).call(function)

    assert time.slept == [3.0]


async def test_it_does_not_wait_for_longer_than_declared_but_gives_up_at_once() -> None:
    time = Time()
    calls, function = failing(1, lambda: Broken(31))

    with pytest.raises(Broken):
        await time.retry().call(function)

    assert (len(calls), time.slept) == (1, [])


async def test_a_function_of_ones_own_says_how_long_to_wait() -> None:
    time = Time()
    spec = RetrySpec(retry_after=lambda outcome: timedelta(seconds=2) if isinstance(outcome, OSError) else None)
    _, function = failing(1, ConnectionError)
    await time.retry(spec).call(function)
    _, function = failing(1, lambda: Broken(9))
    await time.retry(spec).call(function)

    assert time.slept == [2.0, 0.1]


async def test_no_attempt_begins_that_the_caller_does_not_wait_for() -> None:
    time = Time()
    calls, function = failing(10)

    with pytest.raises(Broken):
        await time.retry(RetrySpec(attempts=10), remaining=lambda: 0.65 - time.now).call(function)

    # 0.1 + 0.2 seconds fit into 0.65, another 0.4 do not.
    assert (len(calls), time.slept) == (3, [0.1, 0.2])


async def test_no_attempt_begins_after_the_total_time() -> None:
    time = Time()
    calls, function = failing(10)

    with pytest.raises(Broken):
        await time.retry(RetrySpec(attempts=10, total=timedelta(seconds=0.75))).call(function)

    assert (len(calls), time.slept) == (4, [0.1, 0.2, 0.4])


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120.0),
        (" 120 ", 120.0),
        (-5, 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (datetime.fromtimestamp(NOW - 3, UTC), 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (math.nan, None),
        (True, None),
        (datetime(2030, 1, 1), None),  # noqa: DTZ001
        (object(), None),
    ],
)
def test_what_a_header_may_say(said: object, seconds: float | None) -> None:
    assert seconds_of(said, NOW) == seconds


def test_where_an_outcome_says_it() -> None:
    header = {"Retry-After": "5"}

    assert asked_wait(SimpleNamespace(response=SimpleNamespace(headers=header)), NOW) == 5
    assert asked_wait(SimpleNamespace(headers=header), NOW) == 5
    assert asked_wait(SimpleNamespace(headers={"retry-after": "6"}), NOW) == 6
    assert asked_wait(SimpleNamespace(headers=None, response=None), NOW) is None
    assert asked_wait(Broken(timedelta(seconds=1)), NOW) == 1
    assert asked_wait(ValueError(), NOW) is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"attempts": 0}, "attempts=0; it must be from 1"),
        ({"total": timedelta(0)}, "total=0:00:00; it must be positive"),
        ({"first_wait": timedelta(seconds=9)}, "first_wait=0:00:09; it must be from 0 to its longest_wait=0:00:05"),
        ({"growth": 0}, "growth=0; it is a factor"),
        ({"jitter": -1}, "jitter=-1; it is a share"),
        ({"budget_share": 20}, "share=20; it is a share from 0 to 1"),
        ({"budget_floor": -1}, "floor=-1; it is 0 or more"),
        ({"on": 5}, "on= with 5, which is no exception"),
        ({"on_result": 200}, "on_result=200; give a function"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        RetrySpec(**options)  # type: ignore[arg-type]
    assert complaint in str(refused.value)
