"""A breaker among tasks and threads, with callers that are cancelled, hang, come late, or are told."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import example, given, settings, strategies

from roadworthy.errors import BreakerOpen, DeclarationError, InvalidTransition
from roadworthy.resilience.breaker import Breaker, BreakerSpec, Transition

SPEC = BreakerSpec(
    size=10, minimum_calls=4, permits=5, open_wait=timedelta(seconds=10), half_open_wait=timedelta(seconds=60), jitter=0
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Broken(Exception):
    pass


async def fail() -> None:
    raise Broken


async def answer() -> str:
    return "here"


def fail_sync() -> None:
    raise Broken


async def opened(breaker: Breaker, times: int = 4) -> None:
    for _ in range(times):
        with pytest.raises(Broken):
            await breaker.call(fail)
    assert breaker.state == "open"


async def half_opened(breaker: Breaker, clock: Clock) -> None:
    await opened(breaker)
    clock.now += 10.001


async def test_it_opens_at_the_threshold_and_says_until_when() -> None:
    clock = Clock()
    breaker = Breaker("billing", SPEC, clock=clock)
    await opened(breaker)
    clock.now += 4

    with pytest.raises(BreakerOpen, match="'billing' is open for another 6 s") as refused:
        await breaker.call(answer)

    assert refused.value.dependency == "billing"
    assert refused.value.retry_after == 6
    assert (breaker.failures, breaker.rejected) == (4, 1)


async def test_half_open_lets_exactly_its_permits_through_among_fifty_tasks() -> None:
    clock = Clock()
    breaker = Breaker("billing", SPEC, clock=clock)
    await half_opened(breaker, clock)
    release, running, most = asyncio.Event(), 0, 0

    async def slowly() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_refused(breaker, slowly)) for _ in range(50)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (running, breaker.state, breaker.rejected) == (5, "half_open", 45)
        release.set()

    assert most == 5
    assert [task.result() for task in tasks].count(True) == 45
    assert breaker.state == "closed"


async def _refused(breaker: Breaker, function: object) -> bool:
    try:
        await breaker.call(function)  # type: ignore[arg-type]
    except BreakerOpen:
        return True
    return False


def test_half_open_lets_exactly_its_permits_through_among_fifty_threads() -> None:
    clock = Clock()
    breaker = Breaker("billing", SPEC, clock=clock)
    for _ in range(4):
        with pytest.raises(Broken):
            breaker.call_sync(fail_sync)
    clock.now += 10.001
    together, release = threading.Barrier(50), threading.Event()
    called = []

    def slowly() -> None:
        called.append(threading.get_ident())
        assert release.wait(20)

    def one() -> bool:
        together.wait(20)
        try:
            breaker.call_sync(slowly)
        except BreakerOpen:
            if breaker.rejected == 45:
                release.set()
            return True
        return False

    with ThreadPoolExecutor(50) as pool:
        refused = list(pool.map(lambda _: one(), range(50)))

    assert (len(called), refused.count(True)) == (5, 45)
    assert breaker.state == "closed"


def test_threads_lose_no_call() -> None:
    breaker = Breaker("billing", BreakerSpec(size=1000, minimum_calls=1000, failure_rate=1))
    together = threading.Barrier(8)

    def many() -> None:
        together.wait(20)
        for number in range(500):
            if number % 2:
                breaker.call_sync(len, ())
            else:
                with pytest.raises(Broken):
                    breaker.call_sync(fail_sync)

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    reading = breaker.reading()
    assert (breaker.successes, breaker.failures) == (2000, 2000)
    assert (reading.calls, reading.state) == (1000, "closed")
    assert 0 < reading.failures < 1000


async def test_cancelled_calls_give_their_permits_back() -> None:
    clock = Clock()
    breaker = Breaker("billing", SPEC, clock=clock)
    await half_opened(breaker, clock)

    for _ in range(20):
        tasks = [asyncio.create_task(breaker.call(asyncio.sleep, 60)) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(BreakerOpen, match="its 5 calls are being made"):
            breaker.acquire()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    assert (breaker.state, breaker.ignored) == ("half_open", 100)
    for _ in range(4):
        await breaker.call(answer)
    assert breaker.state == "closed"


async def test_a_call_that_is_dropped_unfinished_gives_its_permit_back() -> None:
    clock = Clock()
    breaker = Breaker("billing", SPEC, clock=clock)
    await half_opened(breaker, clock)

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    for _ in range(20):
        call = breaker.call(wait)
        call.send(None)
        call.close()
        gc.collect(0)

    assert breaker.ignored == 20
    await breaker.call(answer)


async def test_a_call_may_be_dropped_in_the_midst_of_another_ones_bookkeeping() -> None:
    clock = Clock()
    dropped: list[Coroutine[None, None, None]] = []

    def collecting() -> float:
        while dropped:
            dropped.pop().close()
        return clock.now

    breaker = Breaker("billing", SPEC, clock=collecting)
    await half_opened(breaker, clock)

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    for _ in range(5):
        call = breaker.call(wait)
        call.send(None)
        dropped.append(call)
    await breaker.call(answer)

    assert (breaker.ignored, breaker.successes) == (5, 1)


async def test_a_permit_given_back_twice_lets_no_further_call_through() -> None:
    clock = Clock()
    breaker = Breaker("billing", SPEC, clock=clock)
    await half_opened(breaker, clock)
    permit = breaker.acquire()
    for _ in range(4):
        breaker.acquire()

    breaker.released(permit)
    breaker.released(permit)
    breaker.acquire()

    with pytest.raises(BreakerOpen):
        breaker.acquire()


async def test_a_call_that_never_ends_opens_it_again_instead_of_keeping_it_half_open() -> None:
    clock = Clock()
    breaker = Breaker("billing", SPEC, clock=clock)
    await half_opened(breaker, clock)
    hung = breaker.acquire()
    clock.now += 60

    assert breaker.acquire() is not hung
    clock.now += 0.001
    with pytest.raises(BreakerOpen) as refused:
        breaker.acquire()

    # The second opening waits twice as long.
    assert refused.value.retry_after == 20
    breaker.succeeded(hung)
    assert breaker.state == "open"
    clock.now += 20.001
    for _ in range(4):
        await breaker.call(answer)
    assert breaker.state == "closed"


async def test_few_calls_do_not_bring_it_back_to_open() -> None:
    clock = Clock()
    breaker = Breaker("billing", SPEC, clock=clock)
    await half_opened(breaker, clock)

    for _ in range(4):
        await breaker.call(answer)
        clock.now += 3600

    assert breaker.state == "closed"


async def test_results_of_calls_that_began_before_a_transition_do_not_count() -> None:
    clock = Clock()
    breaker = Breaker("billing", SPEC, clock=clock)
    early = [breaker.acquire() for _ in range(20)]
    await half_opened(breaker, clock)
    probe = breaker.acquire()

    for permit in early[:10]:
        breaker.succeeded(permit)
    for permit in early[10:]:
        breaker.failed(permit, 0.0, Broken())

    assert (breaker.state, breaker.reading().calls) == ("half_open", 0)
    breaker.succeeded(probe)
    for _ in range(3):
        await breaker.call(answer)
    assert breaker.state == "closed"
    for permit in early:
        breaker.failed(permit, 0.0, Broken())
    assert (breaker.state, breaker.reading().calls) == ("closed", 0)
    assert (breaker.successes, breaker.failures) == (14, 34)


async def test_a_declared_minimum_has_every_half_open_call_answer_before_it_closes() -> None:
    clock = Clock()
    spec = BreakerSpec(size=10, minimum_calls=2, permits=4, half_open_minimum=4, jitter=0)
    breaker = Breaker("billing", spec, clock=clock)
    await opened(breaker, 2)
    clock.now += 10.001

    for _ in range(2):
        await breaker.call(answer)
        assert breaker.state == "half_open"
    for _ in range(2):
        with pytest.raises(Broken):
            await breaker.call(fail)

    assert breaker.state == "open"


@given(
    jitter=strategies.floats(0, 1),
    random=strategies.floats(0, 1, exclude_max=True),
    growth=strategies.floats(1, 100),
    openings=strategies.integers(1, 30),
)
@example(jitter=0.5, random=0.5, growth=100, openings=200)
@settings(max_examples=50, deadline=None)
def test_open_waits_grow_within_their_bounds(jitter: float, random: float, growth: float, openings: int) -> None:
    clock = Clock()
    spec = BreakerSpec(minimum_calls=1, permits=1, growth=growth, jitter=jitter)
    breaker = Breaker("billing", spec, clock=clock, random=lambda: random)
    for opening in range(openings):
        breaker.failed(breaker.acquire(), 0.0, Broken())
        wait = breaker.reading().retry_after
        middle = min(10 * growth ** min(opening, 100), 120)
        assert wait is not None
        assert middle * (1 - jitter) - 1e-6 <= wait <= middle + 1e-6
        clock.now += wait + 0.01

    breaker.succeeded(breaker.acquire())
    breaker.failed(breaker.acquire(), 0.0, Broken())
    wait = breaker.reading().retry_after
    assert wait is not None
    assert 10 * (1 - jitter) - 1e-6 <= wait <= 10 + 1e-6


async def test_who_is_told_learns_of_every_transition_in_order_and_may_intervene() -> None:
    clock = Clock()
    told: list[Transition] = []

    def listen(transition: Transition) -> None:
        told.append(transition)
        if transition.after == "closed" and len(told) < 10:
            breaker.transition("forced_open", "maintenance")
        raise ValueError("whose trouble is not the caller's")

    breaker = Breaker("billing", SPEC, changed=listen, clock=clock)
    await half_opened(breaker, clock)
    for _ in range(4):
        await breaker.call(answer)

    assert [(one.before, one.after, one.why) for one in told] == [
        ("closed", "open", "4 of 4 calls failed"),
        ("open", "half_open", "its wait is over"),
        ("half_open", "closed", "4 calls went well enough"),
        ("closed", "forced_open", "maintenance"),
    ]
    assert breaker.transitions == 4
    clock.now += 10_000
    with pytest.raises(BreakerOpen, match="forced open") as refused:
        await breaker.call(answer)
    assert refused.value.retry_after is None


async def test_a_shadow_breaker_holds_nothing_back_and_tells_once_that_it_would() -> None:
    told: list[Transition] = []
    spec = BreakerSpec(size=4, minimum_calls=2, shadow=True, slow_after=timedelta(seconds=1))
    breaker = Breaker("billing", spec, changed=told.append)

    for _ in range(20):
        with pytest.raises(Broken):
            await breaker.call(fail)
    for _ in range(4):
        await breaker.call(answer)
    for _ in range(4):
        breaker.succeeded(breaker.acquire(), 1.5)

    assert (breaker.state, breaker.rejected, breaker.slow) == ("metrics_only", 0, 4)
    assert [(one.before, one.after, one.why) for one in told] == [
        ("metrics_only", "metrics_only", "2 of 2 calls failed"),
        ("metrics_only", "metrics_only", "4 of 4 calls took longer than 1 s"),
    ]


async def test_a_disabled_breaker_counts_and_holds_nothing_back() -> None:
    breaker = Breaker("billing", SPEC, state="disabled")

    for _ in range(20):
        with pytest.raises(Broken):
            await breaker.call(fail)

    assert (breaker.state, breaker.failures, breaker.reading().calls) == ("disabled", 20, 0)


async def test_errors_are_failures_or_ignored_or_as_good_as_an_answer() -> None:
    spec = BreakerSpec(size=4, minimum_calls=1, failures=(LookupError,), ignored=lambda error: "absent" in str(error))
    breaker = Breaker("billing", spec)

    async def raised(error: BaseException) -> None:
        raise error

    for error in (ValueError("odd"), KeyError("absent"), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await breaker.call(raised, error)
    assert (breaker.successes, breaker.failures, breaker.ignored) == (1, 0, 2)
    assert breaker.reading().calls == 1

    with pytest.raises(KeyError):
        await breaker.call(raised, KeyError("wrong"))
    assert breaker.state == "open"


async def test_a_judge_that_fails_costs_no_permit() -> None:
    clock = Clock()

    def judge(result: object) -> bool:
        if clock.now > 1001:
            raise ValueError(result)
        return True

    breaker = Breaker("billing", BreakerSpec(minimum_calls=1, permits=1, counts_as_failure=judge), clock=clock)
    await breaker.call(answer)
    assert breaker.state == "open"
    clock.now += 11

    for _ in range(3):
        with pytest.raises(ValueError, match="here"):
            await breaker.call(answer)

    assert (breaker.state, breaker.ignored) == ("half_open", 3)


async def test_it_decorates_functions_of_both_kinds_and_refuses_generators() -> None:
    breaker = Breaker("billing", BreakerSpec(size=2, minimum_calls=2, failure_rate=1))

    @breaker
    async def twice(number: int) -> int:
        """Return twice a number."""
        return 2 * number

    @breaker
    def half(number: int) -> float:
        return number / 2

    assert (await twice(3), half(3)) == (6, 1.5)
    assert twice.__doc__ == "Return twice a number."
    assert breaker.successes == 2
    for _ in range(2):
        with pytest.raises(TypeError):
            half("no number")  # type: ignore[arg-type]
    with pytest.raises(BreakerOpen):
        await twice(1)
    with pytest.raises(BreakerOpen):
        half(1)

    def items() -> Iterator[int]:
        yield 1

    async def async_items() -> AsyncIterator[int]:
        yield 1

    for generator in (items, async_items):
        with pytest.raises(TypeError, match=r"generator .*items"):
            breaker(generator)


async def test_a_time_window_forgets_and_needs_no_reading_in_between() -> None:
    clock = Clock()
    spec = BreakerSpec(window="time", size=5, minimum_calls=4, slow_after=timedelta(seconds=3), jitter=0)
    breaker = Breaker("billing", spec, clock=clock)
    for _ in range(3):
        with pytest.raises(Broken):
            await breaker.call(fail)
    clock.now += 5
    with pytest.raises(Broken):
        await breaker.call(fail)
    assert (breaker.state, breaker.reading().calls) == ("closed", 1)

    clock.now += 1_000_000
    assert breaker.reading().calls == 0

    async def slowly() -> None:
        clock.now += 3.5

    for _ in range(4):
        await breaker.call(slowly)
    # Each call began when the one before it had ended, so that the first has left the window.
    assert breaker.state == "closed"
    permits = [breaker.acquire() for _ in range(4)]
    for permit in permits:
        breaker.succeeded(permit, 3.001)
    assert breaker.state == "open"


def test_it_goes_to_no_state_that_it_has_not() -> None:
    breaker = Breaker("billing")

    with pytest.raises(InvalidTransition, match="no state 'ajar'"):
        breaker.transition("ajar")  # type: ignore[arg-type]
    with pytest.raises(InvalidTransition, match="cannot become half open"):
        breaker.transition("half_open")
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"window": "day"}, "window='day'; choose 'count' or 'time'"),
        ({"size": 0}, "size=0; it must be from 1 to 100,000 calls"),
        ({"window": "time", "size": 4000}, "size=4000; it must be from 1 to 3,600 seconds"),
        ({"failure_rate": 0}, "failure_rate=0; it is a share above 0, up to 1"),
        ({"slow_call_rate": 50}, "slow_call_rate=50; it is a share"),
        ({"minimum_calls": 0}, "minimum_calls=0; it must be at least 1"),
        ({"permits": 0}, "permits=0; it must be at least 1"),
        ({"permits": 1_000_000}, "permits=1000000; 100,000 are the most"),
        ({"permits": 3, "half_open_minimum": 4}, "half_open_minimum=4; it must be from 1 to its 3 permits"),
        ({"open_wait": timedelta(0)}, "open_wait=0:00:00; it must be positive"),
        ({"slow_after": timedelta(days=2)}, "slow_after=2 days, 0:00:00; it must be positive, at most a day"),
        ({"longest_wait": timedelta(seconds=1)}, "longest_wait=0:00:01 below open_wait=0:00:10; raise it"),
        ({"growth": 0.5}, "growth=0.5; it is a factor from 1"),
        ({"jitter": 2}, "jitter=2; it is a share from 0 to 1"),
        ({"failures": ValueError}, "failures= with <class 'ValueError'>, which is no exception; give a tuple"),
        ({"ignored": (int,)}, "ignored= with <class 'int'>"),
        ({"counts_as_failure": 3}, "counts_as_failure=3; give a function"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        BreakerSpec(**options)  # type: ignore[arg-type]
    assert complaint in str(refused.value)
