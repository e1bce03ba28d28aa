from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from roadworthy import DeclarationError, Service, seconds
from roadworthy.health.checks import database_check, queue_check, redis_check
from roadworthy.health.policy import HealthState, Reading
from roadworthy.health.report import Health
from roadworthy.health.spec import Check

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Counted:
    """A check's function that counts its runs."""

    def __init__(self, error: Exception | None = None) -> None:
        self.runs = 0
        self.error = error

    async def __call__(self) -> Sequence[Reading]:
        self.runs += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return [Reading("x:value", "pass", self.runs)]


@dataclass(frozen=True)
class Queue:
    queue: str
    ready: int
    running: int
    dead: int
    oldest_ready_at: datetime | None


def health(*checks: Check, time: list[float] | None = None, state: HealthState | None = None) -> Health:
    moment = time if time is not None else [0.0]
    return Health(lambda: state or HealthState(), checks, clock=lambda: moment[0], now=lambda: AT)


async def test_a_hundred_probes_run_one_check() -> None:
    run = Counted()
    asked = health(Check("x", run))
    statuses = await asyncio.gather(*(asked.status() for _ in range(100)))
    assert (set(statuses), run.runs) == ({"pass"}, 1)


async def test_a_result_is_kept_for_a_short_while() -> None:
    run, time = Counted(), [0.0]
    asked = health(Check("x", run), time=time)
    for moment, runs in ((0.0, 1), (0.9, 1), (1.1, 2), (10.0, 3)):
        time[0] = moment
        await asked.status()
        assert run.runs == runs


async def test_a_check_that_raises_or_hangs_fails_and_leaves_the_others_alone() -> None:
    async def hang() -> Sequence[Reading]:
        await asyncio.Event().wait()
        return []

    asked = health(
        Check("broken", Counted(ValueError("no")), critical=False),
        Check("hanging", hang, timeout=timedelta(milliseconds=5)),
        Check("x", Counted()),
    )
    report = await asked.report()
    assert report["status"] == "fail"
    assert report["checks"]["broken"][0]["output"] == "ValueError: no"
    assert report["checks"]["hanging"][0]["output"] == "no answer within 0.005 s"
    assert report["checks"]["x:value"][0]["status"] == "pass"


async def test_checks_run_together() -> None:
    meeting = asyncio.Barrier(3)

    async def meet() -> Sequence[Reading]:
        await meeting.wait()
        return []

    asked = health(*(Check(f"check{number}", meet, timeout=seconds(30)) for number in range(3)))
    assert await asked.status() == "pass"


async def test_whoever_gives_up_waiting_does_not_spoil_it_for_the_others() -> None:
    gate = asyncio.Event()

    async def wait() -> Sequence[Reading]:
        await gate.wait()
        return [Reading("x:value")]

    asked = health(Check("x", wait, timeout=seconds(30)))
    first, second = (asyncio.create_task(asked.status()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    gate.set()
    assert await second == "pass"


async def test_readiness_runs_only_the_checks_that_opted_in() -> None:
    chosen, other = Counted(ValueError("no")), Counted()
    checks = (Check("chosen", chosen, readiness=True), Check("other", other))
    assert await health(*checks).ready() == "fail"
    assert (chosen.runs, other.runs) == (1, 0)
    assert await health(checks[1]).ready() == "pass"
    assert other.runs == 0


async def test_a_process_that_starts_or_drains_is_unready_without_running_anything() -> None:
    run = Counted()
    check = Check("x", run, readiness=True)
    for state in (HealthState(started=False), HealthState(draining=True)):
        assert await health(check, state=state).ready() == "fail"
    assert run.runs == 0
    assert health(state=HealthState(started=False)).started() == "fail"
    assert health(state=HealthState(draining=True)).started() == "pass"


@pytest.mark.parametrize(
    ("declared", "refusal"),
    [
        ({"timeout": seconds(0)}, "timeout=0:00:00; it must be positive"),
        ({"every": seconds(-1)}, "it must not be negative"),
        ({"failures": 0}, "failures=0; it takes one look at least"),
        ({"successes": 0}, "successes=0; it takes one look at least"),
        ({"groups": ["check out"]}, "group 'check out', which is part of an address"),
        ({"groups": "checkout"}, r"write a sequence, as in \('checkout',\)"),
    ],
)
def test_a_check_that_cannot_work_is_refused(declared: dict[str, Any], refusal: str) -> None:
    with pytest.raises(DeclarationError, match=refusal):
        Service("tested").check("x", **declared)(Counted())


async def test_the_database_check() -> None:
    times = iter([1.0, 1.0025])

    async def ping() -> int:
        return 1

    check = database_check(ping, clock=lambda: next(times))
    assert check.critical
    assert await check.run() == [Reading("database:responseTime", "pass", 2.5, "ms")]


async def test_the_redis_check() -> None:
    async def refused() -> None:
        raise OSError("refused")

    check = redis_check(refused)
    assert not check.critical
    report = await health(check).report()
    assert (report["status"], report["checks"]["redis"][0]["output"]) == ("warn", "OSError: refused")


@pytest.mark.parametrize(
    ("age", "status"), [(None, "pass"), (seconds(29), "pass"), (seconds(31), "warn"), (seconds(-5), "pass")]
)
async def test_the_queue_check_warns_of_late_jobs(age: timedelta | None, status: str) -> None:
    async def counts() -> list[Queue]:
        return [Queue("mail", 3, 2, 1, None if age is None else AT - age)]

    async def now() -> datetime:
        return AT

    async def workers() -> dict[str, int]:
        return {"mail": 2}

    check = queue_check(counts, now, {"mail": seconds(30), "idle": seconds(30)}, workers)
    readings = {reading.name: reading for reading in await check.run()}
    assert not check.critical
    assert [readings[f"mail:{name}"].value for name in ("ready", "running", "dead")] == [3, 2, 1]
    assert readings["mail:oldestReady"].status == status
    assert (readings["mail:oldestReady"].output is not None) == (status == "warn")
    assert readings["idle:ready"].value == 0
    assert (readings["mail:workers"].status, readings["mail:workers"].value) == ("pass", 2)
    assert (readings["idle:workers"].status, readings["idle:workers"].value) == ("pass", 0)


@pytest.mark.parametrize(("age", "status"), [(seconds(0), "pass"), (seconds(1), "warn"), (seconds(31), "fail")])
async def test_jobs_that_wait_while_no_worker_takes_any_are_told_of(age: timedelta, status: str) -> None:
    async def counts() -> list[Queue]:
        return [Queue("mail", 3, 2, 1, AT - age)]

    async def now() -> datetime:
        return AT

    async def workers() -> dict[str, int]:
        return {}

    readings = {
        reading.name: reading for reading in await queue_check(counts, now, {"mail": seconds(30)}, workers).run()
    }
    assert readings["mail:workers"].status == status


async def test_a_check_that_cannot_even_be_cancelled_holds_up_no_report() -> None:
    release, runs = asyncio.Event(), Counted()

    async def stubborn() -> Sequence[Reading]:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.shield(release.wait())
        return []

    async def observe() -> Sequence[Reading]:
        return await (runs() if release.is_set() else stubborn())

    time = [0.0]
    asked = health(Check("database", observe, timeout=timedelta(milliseconds=5), successes=1), time=time)
    async with asyncio.timeout(60):
        for moment in (0.0, 10.0):
            time[0] = moment
            assert await asked.status() == "fail"
        release.set()
        time[0] = 20.0
        while await asked.status() == "fail":
            time[0] += 10.0
    assert runs.runs == 1


async def test_a_failing_check_is_logged_when_it_begins_and_when_it_ends() -> None:
    run, time = Counted(ValueError("no")), [0.0]
    asked = health(Check("x", run, every=seconds(60)), time=time)
    with structlog.testing.capture_logs() as lines:
        for moment in (0.0, 10.0, 20.0, 30.0, 40.0, 50.0):
            time[0] = moment
            run.error = None if moment >= 30.0 else run.error
            await asked.status()
    assert [line["event"] for line in lines] == ["health check fails", "health check passes again"]
