"""Runs over everything: cut into chunks that each count once, watched, cancelled, one of a kind at a time."""

from __future__ import annotations

import asyncio

import pytest
from events import day, encoded, payload
from ingestion.test_apply import keep, observed

from roadworthy import DeadFilter, Service, testing
from vitals.ingestion import apply as applying
from vitals.runs import jobs, runs
from vitals.service import database


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "CHUNK", 3)


async def people(count: int) -> None:
    """Users, each with steps from two sources."""
    await database.execute(
        "WITH people AS ("
        " INSERT INTO users (reference) SELECT 'user-' || n FROM generate_series(1, $1) AS n RETURNING id)"
        " INSERT INTO observations (user_id, metric, source, started_at, measured_at, value, event_at, event_id)"
        " SELECT id, 'steps', source, now(), now(), 5000, now(), 'x'"
        " FROM people CROSS JOIN (VALUES ('garmin'), ('oura')) AS s (source)",
        count,
    )


async def state(run: int) -> tuple[str, int, int]:
    found = await runs.progress(database, run)
    assert found is not None
    return found.state, found.done, found.total


async def test_everybody_is_calculated_again_and_the_progress_is_seen(running: Service, small_chunks: None) -> None:
    await people(10)
    run = await jobs.begin("recalculate")
    assert run is not None
    assert await state(run) == ("running", 0, 0)
    await jobs.plan_run(run=run)
    assert await state(run) == ("running", 0, 10)
    first = await database.fetchval("SELECT min(first_id) FROM run_chunks")
    await jobs.run_chunk(run=run, kind="recalculate", first=first)
    assert await state(run) == ("running", 3, 10)
    assert await jobs.begin("recalculate") is None, "one of a kind at a time"
    await testing.drain(running)
    assert await state(run) == ("finished", 10, 10)
    assert await database.fetchval("SELECT count(*) FROM confidences") == 20
    (latest,) = await runs.latest(database)
    assert (latest.share, latest.finished_at is not None) == (1.0, True)
    assert await jobs.begin("recalculate") not in (None, run)


async def test_a_chunk_counts_once_however_often_it_runs(running: Service, small_chunks: None) -> None:
    await people(4)
    run = await jobs.begin("recalculate")
    assert run is not None
    await jobs.plan_run(run=run)
    await jobs.plan_run(run=run)
    assert await database.fetchval("SELECT count(*) FROM roadworthy.jobs WHERE job = 'run_chunk'") == 2
    chunks = [row["first_id"] for row in await database.fetch("SELECT first_id FROM run_chunks ORDER BY 1")]
    await asyncio.gather(*(jobs.run_chunk(run=run, kind="recalculate", first=first) for first in chunks * 3))
    assert await state(run) == ("running", 4, 4)
    await testing.drain(running)
    assert await state(run) == ("finished", 4, 4)


async def test_nobody_is_a_run_that_ends_at_once(running: Service) -> None:
    run = await jobs.begin("recalculate")
    assert run is not None
    await testing.drain(running)
    assert await state(run) == ("finished", 0, 0)


async def test_a_dead_chunk_keeps_the_run_open_until_it_is_retried(running: Service, small_chunks: None) -> None:
    await people(7)
    run = await jobs.begin("recalculate")
    assert run is not None
    await database.execute("ALTER TABLE confidences ADD CONSTRAINT broken CHECK (user_id <> 5)")
    await testing.drain(running, with_scheduled=True)
    assert await state(run) == ("running", 4, 7)
    await database.execute("ALTER TABLE confidences DROP CONSTRAINT broken")
    await running.dead_letters.retry(DeadFilter(job="run_chunk"), who="operator")
    await testing.drain(running)
    assert await state(run) == ("finished", 7, 7)


async def test_a_cancelled_run_does_no_more(running: Service, small_chunks: None) -> None:
    await people(7)
    run = await jobs.begin("recalculate")
    assert run is not None
    await jobs.plan_run(run=run)
    first = await database.fetchval("SELECT min(first_id) FROM run_chunks")
    await jobs.run_chunk(run=run, kind="recalculate", first=first)
    assert await runs.cancel(database, run)
    assert not await runs.cancel(database, run)
    await testing.drain(running)
    assert await state(run) == ("cancelled", 3, 7)
    assert await runs.progress(database, run + 1) is None


async def test_a_backfill_reads_every_kept_event_again(
    running: Service, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a release that reads a metric which the one before passed over."""
    original = applying.normalise
    bodies = [encoded(payload([day(n)], event_id=f"e{n}", reference=f"user-{n}")) for n in range(8)]
    ids = await keep(*bodies, encoded(payload("broken", event_id="broken")))
    monkeypatch.setattr(applying, "normalise", lambda body: original(body.replace(b'"distance_data"', b'"unknown"')))
    await applying.apply(database, ids[:-1])
    assert await observed() == []

    monkeypatch.setattr(applying, "normalise", original)
    run = await jobs.begin("backfill")
    assert run is not None
    await testing.drain(running)
    assert await state(run) == ("finished", 9, 9)
    assert [row[5] for row in await observed()] == [float(n) for n in range(8)]
    before = await observed()
    assert await database.fetchval("SELECT reason FROM webhook_events WHERE event_id = 'broken'") == (
        "data is missing, or no list of records"
    )

    again = await jobs.begin("backfill")
    assert again is not None
    await testing.drain(running)
    assert await observed() == before


async def test_all_is_calculated_again_every_night(running: Service) -> None:
    await people(1)
    await jobs.recalculate_all()
    await testing.drain(running)
    assert await database.fetchval("SELECT count(*) FROM confidences") == 2
    await database.execute("UPDATE runs SET finished_at = now() - interval '31 days'")
    await jobs.forget_old_runs()
    assert await database.fetchval("SELECT count(*) FROM runs") == 0
