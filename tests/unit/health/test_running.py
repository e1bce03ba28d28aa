"""Checks that are looked at in the background: when, by whom, and what is told meanwhile."""

from __future__ import annotations

import asyncio
import time as blocking
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from roadworthy import seconds
from roadworthy.health.lag import SHORTLY
from roadworthy.health.policy import HealthState, Reading
from roadworthy.health.report import Health
from roadworthy.health.spec import LIVE, Check
from roadworthy.health.watch import IDLE, MOMENT

from .conftest import FakeTime, Looked


def health(time: FakeTime, *checks: Check, draw: float = 0.5, state: HealthState | None = None) -> Health:
    return Health(
        lambda: state or HealthState(),
        checks,
        clock=time.clock,
        now=time.now,
        sleep=time.sleep,
        draw=lambda: draw,
    )


async def output(health: Health, name: str = "x") -> str:
    """Return what the report says of the reading `name`."""
    return str((await health.report())["checks"][name][0].get("output"))


@pytest.mark.parametrize(("draw", "looks"), [(0.0, 11), (0.5, 10), (1.0, 9)])
async def test_a_check_has_a_period_of_its_own_with_jitter(
    time: FakeTime, looked: Looked, draw: float, looks: int
) -> None:
    often = Looked()
    asked = health(time, Check("x", looked, every=seconds(10)), Check("often", often, every=seconds(1)), draw=draw)
    async with asked.running():
        await time.go(91)
        assert looked.looks == looks
        assert often.looks > 8 * looks
    runs = looked.looks
    await time.go(100)
    assert looked.looks == runs, "nobody looks after the end"


async def test_probes_are_told_what_was_seen_and_how_old_it_is(time: FakeTime, looked: Looked) -> None:
    asked = health(time, Check("x", looked, every=seconds(10)))
    async with asked.running():
        await time.go(4)
        for _ in range(100):
            assert await asked.status() == "pass"
        (reading,) = (await asked.report())["checks"]["x:value"]
        assert (reading["age"], reading["observedValue"], looked.looks) == (4.0, 1, 1)


async def test_a_probe_does_not_wait_for_a_check_that_hangs(time: FakeTime, looked: Looked) -> None:
    asked = health(time, Check("x", looked, timeout=seconds(30), every=seconds(10)), Check("y", Looked()))
    async with asked.running():
        await time.settle()
        looked.open.clear()
        await time.go(11)
        assert looked.looks == 2
        async with asyncio.timeout(0):
            # Answered without a turn of the loop: nothing is waited for.
            assert await asked.status() == "pass"


async def test_before_the_first_look_has_ended_nothing_is_known_and_that_is_a_failure(
    time: FakeTime, looked: Looked
) -> None:
    looked.open.clear()
    critical = Check("x", looked, readiness=True, timeout=seconds(30))
    asked = health(time, critical)
    lesser = health(time, Check("x", looked, critical=False, timeout=seconds(30)))
    async with asked.running(), lesser.running():
        assert await asked.ready() == "fail"
        assert await asked.status() == "fail"
        assert await output(asked) == "has not been looked at yet"
        assert await lesser.status() == "warn"
        looks = looked.looks
        looked.open.set()
        await time.settle()
        assert (await asked.ready(), await asked.status(), await lesser.status()) == ("pass", "pass", "pass")
    assert looks == 2, "probes join the look that is under way"


async def test_what_was_last_seen_long_ago_is_a_failure_that_says_so(time: FakeTime, looked: Looked) -> None:
    asked = health(time, Check("x", looked, every=seconds(5), readiness=True))
    async with asked.running():
        await time.settle()
        looked.open.clear()
        await time.jump(11)
        assert await asked.status() == "pass", "twice the period and the time-out"
        await time.jump(1)
        assert await asked.status() == await asked.ready() == "fail"
        assert await output(asked) == "was last looked at 12 s ago, which tells nothing of now"
        looked.open.set()
        await time.settle()
        assert await asked.status() == "pass"


async def test_one_bad_look_changes_nothing_and_is_followed_soon(time: FakeTime, looked: Looked) -> None:
    asked = health(time, Check("x", looked, every=seconds(60), failures=3, successes=2))
    async with asked.running():
        await time.settle()
        looked.error = OSError("gone")
        await time.go(60)
        found = await asked.report()
        assert found["status"] == "pass"
        assert found["checks"]["x:value"][0]["age"] == 60.0
        assert found["checks"]["x:unsettled"][0]["output"] == "1 of 3: OSError: gone"
        await time.go(1)
        assert (await asked.status(), looked.looks) == ("pass", 3)
        await time.go(1)
        assert (await asked.status(), looked.looks) == ("fail", 4)
        assert await output(asked) == "OSError: gone"

        looked.error = None
        await time.go(60)
        assert await asked.status() == "fail"
        assert (await asked.report())["checks"]["x:unsettled"][0]["observedUnit"] == "successes"
        await time.go(1)
        assert await asked.status() == "pass"


async def test_a_warning_is_told_at_once(time: FakeTime) -> None:
    status: list[Any] = ["pass"]

    async def run() -> Sequence[Reading]:
        return [Reading("x", status[0])]

    asked = health(time, Check("x", run, every=seconds(5), failures=9, successes=9))
    async with asked.running():
        for told in ("pass", "warn", "pass"):
            status[0] = told
            await time.go(6)
            assert await asked.status() == told


async def test_what_nobody_asks_for_is_not_looked_at_and_then_not_passed_off_as_fresh(
    time: FakeTime, looked: Looked
) -> None:
    other = Looked()
    asked = health(time, Check("x", looked, every=seconds(5), readiness=True), Check("other", other, every=seconds(5)))
    async with asked.running():
        for _ in range(3):
            await time.go(IDLE - 10)
            assert await asked.ready() == "pass"
        assert other.looks < looked.looks / 2, "each for itself: readiness is not about this one"
        await time.go(IDLE + 10)
        looks = looked.looks
        await time.jump(100 * IDLE)
        await time.go(IDLE / 10)
        assert looked.looks == looks
        # An answer in time is what is told, and what comes later is not waited for.
        assert await asked.ready() == "pass"
        await time.go(IDLE + 20)
        looked.open.clear()
        looked.error = OSError("gone")
        assert await asked.ready() == "fail"
        assert "which tells nothing of now" in await output(asked)
        looked.open.set()
        await time.go(1)
        assert await output(asked) == "OSError: gone", "the first look after a pause counts at once"


async def test_a_scrape_keeps_the_looks_going(time: FakeTime, looked: Looked) -> None:
    asked = health(time, Check("x", looked, every=seconds(5)))
    async with asked.running():
        await time.go(2 * IDLE)
        looks = looked.looks
        asked.ask()
        await time.go(IDLE / 2)
        assert looked.looks > looks + 10


async def test_what_is_in_memory_is_looked_at_whenever_it_is_asked_for(time: FakeTime, looked: Looked) -> None:
    asked = health(time, Check("x", looked, every=LIVE, failures=1))
    async with asked.running():
        await time.go(100)
        assert looked.looks == 0
        for looks in (1, 2):
            for _ in range(3):
                assert await asked.status() == "pass"
            assert looked.looks == looks
            await time.go(2 * MOMENT)
        looked.error = OSError("gone")
        assert await asked.status() == "fail"


async def test_what_is_in_memory_is_told_on_a_loop_that_lags(time: FakeTime, looked: Looked) -> None:
    async def hog() -> None:
        while True:
            blocking.sleep(0.03)  # noqa: ASYNC251 (longer than a probe waits for a look)
            await asyncio.sleep(0)

    asked = health(time, Check("x", looked, every=LIVE))
    async with asked.running():
        hogging = asyncio.create_task(hog())
        try:
            assert await asked.status() == "pass"
        finally:
            hogging.cancel()


async def test_an_operator_waits_for_a_look_that_a_probe_does_not_wait_for(time: FakeTime, looked: Looked) -> None:
    looked.open.clear()
    asked = health(time, Check("x", looked, timeout=seconds(30)))
    async with asked.running():
        assert await asked.status() == "fail"
        page = asyncio.create_task(asked.report(patience=None))
        await time.settle()
        looked.open.set()
        assert (await page)["status"] == "pass"


async def test_a_look_is_not_within_what_whoever_asks_is_within(time: FakeTime) -> None:
    transaction: ContextVar[str] = ContextVar("transaction", default="none")
    seen = []

    async def run() -> Sequence[Reading]:
        seen.append(transaction.get())
        transaction.set("a look's")
        return []

    asked = health(time, Check("x", run, every=LIVE))
    async with asked.running():
        transaction.set("the asker's")
        for _ in range(2):
            await asked.status()
            await time.go(1)
    await asked.status()
    assert seen == ["none"] * 3


async def test_the_end_leaves_nothing_under_way(time: FakeTime, looked: Looked) -> None:
    looked.open.clear()
    asked = health(time, Check("x", looked, timeout=seconds(30)))
    before = asyncio.all_tasks()
    async with asked.running():
        await time.settle()
        assert asyncio.all_tasks() > before
    await time.settle()
    assert asyncio.all_tasks() == before


async def test_whoever_fails_while_it_runs_fails_as_without_it(time: FakeTime, looked: Looked) -> None:
    asked = health(time, Check("x", looked))
    with pytest.raises(LookupError):
        async with asked.running():
            raise LookupError
    async with asked.running():
        await time.settle()
        assert await asked.status() == "pass"


async def test_what_runs_already_is_not_run_twice(time: FakeTime, looked: Looked) -> None:
    asked = health(time, Check("x", looked, every=seconds(10)))
    async with asked.running():
        async with asked.running():
            await time.go(5)
        await time.go(10)
        assert looked.looks == 2


async def test_liveness_is_about_the_loop_alone(time: FakeTime, looked: Looked) -> None:
    looked.error = OSError("gone")
    asked = health(time, Check("x", looked, critical=True, readiness=True))
    async with asked.running():
        await time.go(60)
        assert (await asked.status(), await asked.ready(), asked.live()) == ("fail", "fail", "pass")
        for _ in range(20):
            # A loop that blocks for three seconds, and then again.
            await time.jump(3)
        assert asked.live() == "fail"
        assert asked.worst_lag() == pytest.approx(3 - SHORTLY)
        await time.go(3)
        assert asked.live() == "pass"


async def test_groups_report_some_checks_alone(time: FakeTime, looked: Looked) -> None:
    broken = Looked()
    broken.error = OSError("gone")
    asked = health(
        time,
        Check("x", looked, groups=("checkout", "front")),
        Check("bank", broken, groups=("checkout",)),
        Check("alone", Looked()),
    )
    async with asked.running():
        await time.settle()
        assert asked.groups() == ("alone", "bank", "checkout", "front", "x")
        assert (await asked.report("front"))["status"] == "pass"
        assert (await asked.report("checkout"))["status"] == "fail"
        assert set((await asked.report("bank"))["checks"]) == {"bank"}
        with pytest.raises(KeyError):
            await asked.report("back")


@pytest.mark.parametrize("word", ["starting", "draining", "saturated"])
async def test_the_process_tells_how_it_is_itself(time: FakeTime, looked: Looked, word: str) -> None:
    state = HealthState(started=word != "starting", draining=word == "draining", saturated=word == "saturated")
    asked = health(time, Check("x", looked, readiness=True), state=state)
    async with asked.running():
        await time.settle()
        assert await asked.ready() == ("pass" if word == "saturated" else "fail")
        assert await asked.status() == ("warn" if word == "saturated" else "pass")
        assert (await asked.report())["notes"] == [word]
        assert asked.live() == "pass"
