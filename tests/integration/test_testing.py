"""The public test helpers, and `service.running`, on real databases."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roadworthy import NotRunning, Service, hours, seconds, testing
from roadworthy.errors import DatabaseUnavailable, MigrationError
from roadworthy.runtime.lifecycle import existing
from roadworthy.runtime.settings import Settings

service = Service("errands")
database = service.database()
errands = service.queue("errands", attempts=1)
runs = service.counter("errand_runs_total", "Errands run")


@errands.job()
async def errand(more: int) -> None:
    runs.inc()
    if more:
        await errand.enqueue(more=more - 1)


@errands.job(attempts=2)
async def failing() -> None:
    raise ValueError("not today")


async def test_each_use_has_a_fresh_database_and_drain_runs_what_jobs_enqueue() -> None:
    for _ in range(2):
        async with testing.running(service):
            assert await database.fetchval("SELECT count(*) FROM roadworthy.jobs") == 0
            await errand.enqueue(more=3)
            await errand.with_options(delay=hours(1)).enqueue(more=0)
            await testing.drain(service)
            assert testing.metric(service, "errand_runs_total") == 4
            assert testing.metric(service, "jobs_enqueued_total", queue="nonesuch", job="nonesuch") == 0
    with pytest.raises(NotRunning):
        await errand.enqueue(more=0)


async def test_drain_leaves_a_retry_to_its_time() -> None:
    async with testing.running(service):
        await failing.enqueue()
        await testing.drain(service)
        labels = {"queue": "errands", "job": "failing"}
        assert testing.metric(service, "jobs_finished_total", **labels, outcome="retried") == 1


async def test_drain_gives_up_in_time() -> None:
    endless = Service("endless")
    queue = endless.queue("endless")

    @queue.job()
    async def again() -> None:
        await asyncio.sleep(0.01)
        await again.enqueue()

    async with testing.running(endless):
        await again.enqueue()
        with pytest.raises(TimeoutError):
            await testing.drain(endless, timeout=seconds(0.5))


async def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "0001_wrong.sql").write_text("SELECT 1 / 0;")
    wrong = Service("wrong")
    wrong.database(migrations=tmp_path)
    for _ in range(2):
        with pytest.raises(MigrationError, match="division by zero"):
            async with testing.running(wrong):
                pass


async def test_running_uses_the_database_of_the_environment(dsn: str) -> None:
    settings = Settings.load({"DATABASE_URL": dsn})
    async with service.running(settings):
        await errand.enqueue(more=0)
        assert await database.fetchval("SELECT count(*) FROM roadworthy.jobs") == 1
    assert existing(settings) == dsn


async def test_running_starts_and_stops_the_embedded_database(tmp_path: Path) -> None:
    settings = Settings.load({"ROADWORTHY_DATA_DIR": str(tmp_path / "data")})
    with pytest.raises(DatabaseUnavailable, match="no PostgreSQL runs in"):
        existing(settings)
    async with service.running(settings):
        await errand.enqueue(more=0)
        assert "host=" in existing(settings)
    async with service.running(settings):
        await testing.drain(service)
        assert testing.metric(service, "errand_runs_total") == 1
