"""A dependency: the order of its policies, what each call comes to, and cancellation through all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from roadworthy.errors import (
    BreakerOpen,
    BulkheadFull,
    CallThrottled,
    DeadlineExceeded,
    DeclarationError,
    DependencyFailed,
)
from roadworthy.resilience.breaker_spec import BreakerSpec
from roadworthy.resilience.bulkhead import BulkheadSpec
from roadworthy.resilience.deadline import DEADLINE, CutShort, time_left
from roadworthy.resilience.dependency import OpenDependency
from roadworthy.resilience.fallback import Chain, constant
from roadworthy.resilience.hedging import HedgeSpec
from roadworthy.resilience.retry import RetrySpec
from roadworthy.resilience.spec import DependencySpec, either
from roadworthy.resilience.throttle import ThrottleSpec

SHORT = timedelta(milliseconds=20)
QUICK = RetrySpec(first_wait=timedelta(0), budget_share=None)
TOUCHY = BreakerSpec(size=4, minimum_calls=4)


class NotFound(Exception):
    """An answer."""


def _dependency(**options: Any) -> OpenDependency:
    return OpenDependency(DependencySpec("geocoder", **options))


async def _fails(*_: object) -> None:
    raise ConnectionError("away")


async def _answers(value: int = 1) -> int:
    return value


async def _hangs(*_: object) -> None:
    await asyncio.sleep(30)


async def _outcomes(dependency: OpenDependency, call: Callable[..., Awaitable[Any]], count: int) -> list[Any]:
    calls = (dependency.call(False, call) for _ in range(count))
    return [(await asyncio.gather(one, return_exceptions=True))[0] for one in calls]


async def test_plain_it_has_a_time_out_and_a_breaker() -> None:
    dependency = _dependency(timeout=SHORT, breaker=TOUCHY)
    with pytest.raises(DeadlineExceeded):
        await dependency.call(False, _hangs)
    await _outcomes(dependency, _fails, 3)
    with pytest.raises(BreakerOpen) as caught:
        await dependency.call(False, _answers)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 0
    counts = dependency.counts
    assert (counts.answered, counts.failed, counts.late, counts.refused["breaker"]) == (0, 3, 1, 1)


async def test_what_the_call_returns_and_takes_passes_through() -> None:
    async def call(*args: object, **kwargs: object) -> object:
        return args, kwargs

    dependency = _dependency()
    assert await dependency.call(True, call, 1, function=2, self=3) == ((1,), {"function": 2, "self": 3})


async def test_only_idempotent_calls_are_tried_again() -> None:
    dependency = _dependency(retry=QUICK)
    for idempotent, attempts in ((False, 1), (True, 3)):
        made = 0

        async def call() -> None:
            nonlocal made
            made += 1
            raise ConnectionError

        with pytest.raises(ConnectionError):
            await dependency.call(idempotent, call)
        assert made == attempts


async def test_each_attempt_counts_for_the_breaker_and_once_it_is_open_no_more_is_made() -> None:
    made = 0

    async def call() -> None:
        nonlocal made
        made += 1
        raise ConnectionError

    dependency = _dependency(breaker=TOUCHY, retry=RetrySpec(attempts=10, first_wait=timedelta(0)))
    with pytest.raises(BreakerOpen):
        await dependency.call(True, call)
    assert made == 4


async def test_each_attempt_has_the_time_out_and_all_together_have_the_total() -> None:
    lefts: list[timedelta | None] = []

    async def call() -> None:
        lefts.append(time_left())
        await asyncio.sleep(30)

    dependency = _dependency(timeout=SHORT, total=2.5 * SHORT, retry=RetrySpec(attempts=9, first_wait=timedelta(0)))
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await dependency.call(True, call)
    assert time.monotonic() - began < 30
    assert len(lefts) == 3
    assert all(left is not None and left <= SHORT for left in lefts)
    assert lefts[2] is not None
    assert lefts[2] < 0.8 * SHORT


async def test_a_retried_call_has_twice_its_time_out_where_no_total_is_said() -> None:
    assert _dependency(timeout=SHORT).spec.deadline == 2 * SHORT.total_seconds()
    dependency = _dependency(timeout=SHORT, retry=RetrySpec(attempts=9, first_wait=timedelta(0)))
    with pytest.raises(DeadlineExceeded):
        await dependency.call(True, _hangs)
    assert dependency.retry is not None
    assert dependency.retry.retries in (1, 2)


async def test_an_inner_call_keeps_to_the_deadline_of_the_outer_one() -> None:
    outer, inner = _dependency(timeout=SHORT), OpenDependency(DependencySpec("street"))

    async def call() -> None:
        left = time_left()
        assert left is not None
        assert left <= SHORT
        await inner.call(False, _hangs)

    with pytest.raises(DeadlineExceeded):
        await outer.call(False, call)


async def test_past_the_callers_deadline_nothing_is_called_and_the_breaker_hears_nothing() -> None:
    made = 0

    async def call() -> None:
        nonlocal made
        made += 1

    for options in ({}, {"concurrency": BulkheadSpec(1)}, {"total": timedelta(seconds=9)}):
        dependency = _dependency(**options)
        token = DEADLINE.set(time.monotonic() - 1)
        try:
            for idempotent in (False, True):
                with pytest.raises(CutShort):
                    await dependency.call(idempotent, call)
        finally:
            DEADLINE.reset(token)
        assert dependency.breaker is not None
        assert dependency.breaker.failures == 0
    assert made == 0


async def test_impatient_callers_do_not_open_the_breaker_and_patient_ones_do() -> None:
    dependency = _dependency(timeout=timedelta(seconds=1), breaker=TOUCHY)
    for given, failures in ((0.005, 0), (0.25, 4)):
        for _ in range(4):
            token = DEADLINE.set(time.monotonic() + given)
            try:
                with pytest.raises(DeadlineExceeded):
                    await dependency.call(False, _hangs)
            finally:
                DEADLINE.reset(token)
        assert dependency.breaker is not None
        assert dependency.breaker.failures == failures
    assert dependency.breaker is not None
    assert dependency.breaker.state == "open"


async def test_the_bulkhead_is_outside_of_retries_so_that_one_call_has_one_place() -> None:
    dependency = _dependency(concurrency=BulkheadSpec(2), retry=QUICK)
    running = most = 0

    async def call() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        raise ConnectionError

    outcomes = await asyncio.gather(*(dependency.call(True, call) for _ in range(10)), return_exceptions=True)
    assert most == 2
    assert [type(one) for one in outcomes].count(BulkheadFull) == 8
    assert dependency.counts.refused["bulkhead"] == 8
    assert dependency.counts.failed == 2
    assert dependency.breaker is not None
    assert dependency.breaker.failures == 6


async def test_the_throttle_is_outside_of_the_breaker_and_counts_a_call_once() -> None:
    throttle = ThrottleSpec(minimum_calls=1, most_rejected=0.99)
    dependency = _dependency(throttle=throttle, retry=QUICK, breaker=None)
    for _ in range(200):
        await asyncio.gather(dependency.call(True, _fails), return_exceptions=True)
    refused = dependency.counts.refused["throttle"]
    assert refused > 50
    assert dependency.throttle is not None
    assert dependency.throttle.rejected == refused
    with pytest.raises(CallThrottled):
        while True:
            await asyncio.gather(dependency.call(True, _fails))


async def test_a_second_attempt_counts_once_for_the_breaker_and_has_a_time_out_of_its_own() -> None:
    made = 0

    async def call() -> int:
        nonlocal made
        made += 1
        index = made
        await asyncio.sleep(30 if index == 1 else 0)
        return index

    dependency = _dependency(hedge=HedgeSpec(SHORT / 4, share=1.0), retry=None)
    assert await dependency.call(True, call) == 2
    assert dependency.breaker is not None
    assert dependency.breaker.successes == 1
    await dependency.close()
    made = 0
    assert await dependency.call(False, _answers) == 1


async def test_what_is_an_answer_is_no_failure_and_not_tried_again() -> None:
    made = 0

    async def call() -> None:
        nonlocal made
        made += 1
        raise NotFound

    for answers in ((NotFound,), lambda error: isinstance(error, NotFound)):
        made = 0
        dependency = _dependency(retry=QUICK, answers=answers, breaker=TOUCHY, throttle=ThrottleSpec())
        for _ in range(10):
            with pytest.raises(NotFound):
                await dependency.call(True, call)
            with pytest.raises(NotFound):
                await dependency.answer(True, lambda: Chain([constant(1)]), call, (), {})
        assert made == 20
        assert dependency.counts.answered == 20
        assert dependency.breaker is not None
        assert dependency.breaker.state == "closed"


async def test_a_fallback_is_outside_of_everything() -> None:
    rungs: list[str] = []
    dependency = _dependency(concurrency=BulkheadSpec(1), retry=QUICK)
    dependency.counts.fell_back = rungs.append

    async def answer(call: Callable[..., Awaitable[Any]]) -> str:
        return (await dependency.answer(True, lambda: Chain([constant(0)]), call, (), {})).rung

    assert await answer(_answers) == "call"
    assert await answer(_fails) == "constant"
    hung = asyncio.create_task(answer(_hangs))
    await asyncio.sleep(0)
    assert await answer(_answers) == "constant"
    hung.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hung
    assert dependency.breaker is not None
    dependency.breaker.transition("forced_open")
    assert await answer(_answers) == "constant"
    assert rungs == ["constant"] * 3


ALL = {
    "total": timedelta(seconds=20),
    "concurrency": BulkheadSpec(3, 3),
    "throttle": ThrottleSpec(),
    "retry": QUICK,
    "hedge": HedgeSpec(timedelta(microseconds=10), share=1.0),
}


@pytest.mark.parametrize("options", [{}, ALL, *({name: value} for name, value in ALL.items())])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
async def test_who_is_cancelled_at_any_moment_leaves_nothing_behind(options: dict[str, Any], turns: int) -> None:
    running = 0

    async def call() -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(30)
        finally:
            running -= 1

    dependency = _dependency(**options)
    tasks = [asyncio.create_task(dependency.call(True, call)) for _ in range(8)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError | BulkheadFull) for one in outcomes)
    await dependency.close()
    assert running == 0
    assert dependency.counts.running == 0
    assert dependency.breaker is not None
    assert dependency.breaker.failures == 0
    if dependency.bulkhead is not None:
        assert (dependency.bulkhead.running, dependency.bulkhead.waiting) == (0, 0)
    if dependency.retry is not None:
        assert (dependency.retry.budget.active, dependency.retry.budget.retrying) == (0, 0)
    assert await dependency.call(True, _answers, 7) == 7


async def test_another_dependencys_refusal_within_a_call_is_a_failure_of_this_one() -> None:
    inner = OpenDependency(DependencySpec("street"))
    assert inner.breaker is not None
    inner.breaker.transition("forced_open")
    outer = _dependency()
    with pytest.raises(BreakerOpen):
        await outer.call(False, lambda: inner.call(False, _answers))
    assert outer.counts.failed == 1
    assert inner.counts.refused["breaker"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Geo Coder"},
        {"timeout": timedelta(0)},
        {"total": timedelta(seconds=1)},
        {"hedge": HedgeSpec(timedelta(seconds=5))},
        {"answers": (1,)},
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        DependencySpec(**{"name": "geocoder", **wrong})


def test_exceptions_from_several_places() -> None:
    assert either((KeyError,), (ValueError,)) == (KeyError, ValueError)
    judge = either((KeyError,), lambda error: str(error) == "a")
    assert callable(judge)
    assert [judge(KeyError()), judge(ValueError("a")), judge(ValueError("b"))] == [True, True, False]


async def test_the_kinds_of_errors_are_one_family() -> None:
    assert all(issubclass(kind, DependencyFailed) for kind in (BreakerOpen, BulkheadFull, CallThrottled, CutShort))
    assert issubclass(DeadlineExceeded, TimeoutError)
