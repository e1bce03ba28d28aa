"""One row and one job for each fire time, whatever becomes of the schedulers. Schedulers are real processes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from roadworthy.database.pool import Pool
from roadworthy.jobs.engine import ClaimedJob
from roadworthy.jobs.postgres import PostgresEngine
from schema import create_job_tables

_SCRIPT = Path(__file__).with_name("scheduler_process.py")
_WAITING = "SELECT application_name FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = $1"
HOUR = timedelta(hours=1)


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


@dataclass(slots=True)
class Scene:
    dsn: str
    pool: Pool
    engine: PostgresEngine
    directory: Path
    options: dict[str, Any]

    @asynccontextmanager
    async def scheduler(self, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
        arguments = json.dumps({"dsn": self.dsn, "name": name, **self.options})
        with (self.directory / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(_SCRIPT), arguments, stderr=log, start_new_session=True
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def begins(self, begins: datetime, *, speed: int = 1, **schedules: tuple[str, str]) -> None:
        """Set the clock, and have each schedule been seen a minute before."""
        self.options |= {"began": (await self.engine.now()).isoformat(), "begins": begins.isoformat(), "speed": speed}
        self.options |= {"schedules": schedules, "timezone": "Europe/Berlin"}
        for name, (cron, _) in schedules.items():
            await self.engine.note_schedule(name, f"{cron} Europe/Berlin", begins - timedelta(minutes=1))

    async def rows(self, schedule: str) -> list[datetime]:
        rows = await self.pool.fetch(
            "SELECT fire_time FROM roadworthy.job_fires WHERE schedule = $1 ORDER BY fire_time", schedule
        )
        return [row["fire_time"] for row in rows]

    async def fired(self, schedule: str, count: int) -> None:
        async def enough() -> bool:
            return len(await self.rows(schedule)) >= count

        await until(enough, f"{count} fires of {schedule}")

    async def jobs(self) -> dict[str, list[datetime]]:
        """Return the fire times of the jobs that were enqueued, by schedule."""
        found: dict[str, list[datetime]] = {}
        claimed: list[ClaimedJob] = await self.engine.claim("work", limit=500, lease=HOUR, worker="test")
        for job in claimed:
            assert job.fire_time is not None
            found.setdefault(job.job, []).append(job.fire_time)
        return {name: sorted(times) for name, times in found.items()}

    async def said(self, name: str, event: str) -> None:
        async def so() -> bool:
            return event in self.events(name)

        await until(so, f"{event!r} of {name}")

    def events(self, name: str) -> list[str]:
        whole, _, _ = (self.directory / f"{name}.log").read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line)["event"] for line in whole.splitlines()]


@pytest.fixture
async def scene(dsn: str, pool: Pool, tmp_path: Path) -> AsyncIterator[Scene]:
    await create_job_tables(pool)
    engine = PostgresEngine(pool, dsn)
    yield Scene(dsn, pool, engine, tmp_path, {})
    await engine.close()


def night(first: str, *steps: float) -> list[datetime]:
    """Return moments, the first and those so many hours after it."""
    begin = datetime.fromisoformat(first).replace(tzinfo=UTC)
    return [begin + step * HOUR for step in steps]


# Clocks in Berlin go from 02:00 to 03:00 at 01:00 UTC of the one night, and from 03:00 to 02:00 of the other.
SPRING = night("2030-03-30 22:00", 0)[0]
AUTUMN = night("2030-10-26 22:00", 0)[0]


@pytest.mark.parametrize(
    ("begins", "nightly", "hourly"),
    [
        (SPRING, night("2030-03-31 01:00", 0), night("2030-03-30 22:10", *range(8))),
        (AUTUMN, night("2030-10-27 00:30", 0), night("2030-10-26 22:10", *range(8))),
    ],
    ids=["spring", "autumn"],
)
async def test_a_night_in_which_clocks_change_and_schedulers_come_and_go(
    scene: Scene, begins: datetime, nightly: list[datetime], hourly: list[datetime]
) -> None:
    """Eight hours in eight seconds: one scheduler is killed, one sleeps through an hour and wakes, one comes late."""
    quarters = [begins + number * HOUR / 4 for number in range(33)]
    await scene.begins(
        begins,
        speed=3600,
        nightly=("30 2 * * *", "latest"),
        hourly=("10 * * * *", "all"),
        quarterly=("*/15 * * * *", "all"),
    )
    async with AsyncExitStack() as running:
        killed = await running.enter_async_context(scene.scheduler("killed"))
        sleepy = await running.enter_async_context(scene.scheduler("sleepy"))
        await scene.fired("quarterly", 8)
        sleepy.send_signal(signal.SIGSTOP)
        await scene.fired("quarterly", 12)
        killed.kill()
        late = await running.enter_async_context(scene.scheduler("late"))
        sleepy.send_signal(signal.SIGCONT)
        await scene.fired("quarterly", 20)
        late.send_signal(signal.SIGSTOP)
        await scene.fired("quarterly", 24)
        late.send_signal(signal.SIGCONT)
        await scene.fired("quarterly", 33)
        await scene.fired("hourly", 8)
        for process in (late, sleepy):
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                assert await process.wait() == 0
    expected = {"nightly": nightly, "hourly": hourly, "quarterly": quarters}
    found = {schedule: (await scene.rows(schedule))[: len(times)] for schedule, times in expected.items()}
    assert found == expected
    jobs = await scene.jobs()
    assert jobs == {schedule: await scene.rows(schedule) for schedule in expected}, "a job for each row"


async def test_one_is_killed_between_the_row_and_the_job(scene: Scene) -> None:
    await between_the_row_and_the_job(scene, signal.SIGKILL)


async def test_one_stops_between_the_row_and_the_job_and_wakes_later(scene: Scene) -> None:
    await between_the_row_and_the_job(scene, signal.SIGSTOP)


async def test_a_table_that_stays_locked_costs_no_scheduler(scene: Scene) -> None:
    tick = night("2030-03-31 01:00", 0)
    await scene.begins(tick[0], nightly=("30 2 * * *", "latest"))
    async with scene.scheduler("one") as process:
        async with scene.pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE roadworthy.jobs IN SHARE MODE")
            await scene.said("one", "cannot fire schedules")
        await scene.fired("nightly", 1)
        assert process.returncode is None
    assert await scene.jobs() == {"nightly": tick}


async def between_the_row_and_the_job(scene: Scene, fault: signal.Signals) -> None:
    """Two schedulers meet on a tick; the one that has written the row cannot add the job before it is struck."""
    tick = night("2030-03-31 01:00", 0)
    await scene.begins(tick[0], nightly=("30 2 * * *", "latest"))
    async with AsyncExitStack() as running:
        async with scene.pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE roadworthy.jobs IN SHARE MODE")
            processes = {name: await running.enter_async_context(scene.scheduler(name)) for name in ("one", "two")}

            async def met() -> bool:
                return None not in [await scene.pool.fetchval(_WAITING, it) for it in ("relation", "transactionid")]

            await until(met, "one in its transaction, and the other behind it")
            struck = await scene.pool.fetchval(_WAITING, "relation")
            processes[struck].send_signal(fault)
        survivor = next(name for name in processes if name != struck)
        await scene.said(survivor, "schedule fired")
        if fault == signal.SIGSTOP:
            processes[struck].send_signal(signal.SIGCONT)
            await scene.said(struck, "cannot fire schedules")
            processes[struck].send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                assert await processes[struck].wait() == 0
        assert "schedule fired" not in scene.events(struck)
    assert await scene.rows("nightly") == tick
    assert await scene.jobs() == {"nightly": tick}
