"""Confidences as they are kept: for every source of a user, from what was observed, never behind a later event."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from roadworthy import Service, testing
from vitals.confidence import jobs
from vitals.confidence.calculate import calculate
from vitals.service import database


async def user(reference: str) -> int:
    id: int = await database.fetchval("INSERT INTO users (reference) VALUES ($1) RETURNING id", reference)
    return id


async def observe(who: int, metric: str, source: str, value: float, at: datetime) -> None:
    await database.execute(
        "INSERT INTO observations (user_id, metric, source, started_at, measured_at, value, event_at, event_id)"
        " VALUES ($1, $2, $3, $4, $4, $5, $4, 'x')",
        who,
        metric,
        source,
        at,
        value,
    )


async def confidences(who: int) -> dict[tuple[str, str], tuple[Any, ...]]:
    rows = await database.fetch("SELECT * FROM confidences WHERE user_id = $1", who)
    return {
        (row["metric"], row["source"]): (row["reliability"], row["freshness"], row["frequency"], row["agreement"])
        for row in rows
    }


async def test_each_source_of_each_metric_is_scored(running: Service) -> None:
    del running
    now = datetime.now(UTC)
    mira, noah = await user("mira"), await user("noah")
    for age in range(12):
        await observe(mira, "weight", "withings", 72.0 + age / 100, now - timedelta(days=age, minutes=1))
    await observe(mira, "weight", "manual", 72.4, now - timedelta(days=7))
    await observe(mira, "steps", "garmin", 9000, now)
    await observe(noah, "steps", "unheard_of", 100, now)
    await observe(noah, "no_metric_of_ours", "garmin", 100, now)
    assert await calculate(database, [mira, noah]) == 4
    assert await confidences(mira) == {
        ("weight", "withings"): (40, 20, 20, 20),
        ("weight", "manual"): (25, 10, 2, 20),
        ("steps", "garmin"): (38, 20, 1, 10),
    }
    assert await confidences(noah) == {("steps", "unheard_of"): (26, 20, 1, 10)}
    assert await database.fetchval("SELECT confidence FROM confidences WHERE source = 'withings'") == 100


async def test_calculating_again_changes_the_rows_in_place(running: Service) -> None:
    del running
    mira = await user("mira")
    await observe(mira, "weight", "withings", 72.0, datetime.now(UTC) - timedelta(days=7))
    await calculate(database, [mira])
    await observe(mira, "weight", "withings", 72.0, datetime.now(UTC))
    await calculate(database, [mira, mira + 1000])
    assert await confidences(mira) == {("weight", "withings"): (40, 20, 3, 10)}


async def test_a_calculation_waits_for_events_that_are_being_applied(running: Service) -> None:
    """The event's transaction has not ended when the calculation begins: it is waited for, and read."""
    del running
    mira = await user("mira")
    await database.execute("INSERT INTO stale_confidences (user_id) VALUES ($1)", mira)
    written, go = asyncio.Event(), asyncio.Event()

    async def event() -> None:
        async with database.transaction():
            await observe(mira, "weight", "withings", 72.0, datetime.now(UTC))
            await database.execute(
                "INSERT INTO stale_confidences AS known (user_id) VALUES ($1)"
                " ON CONFLICT (user_id) DO UPDATE SET stale_since = known.stale_since WHERE false",
                mira,
            )
            written.set()
            await go.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(event())
        await written.wait()
        calculating = group.create_task(calculate(database, [mira]))
        await asyncio.sleep(0.1)
        assert not calculating.done()
        go.set()
    assert ("weight", "withings") in await confidences(mira)


async def test_the_mean_and_the_lag_are_metrics(running: Service) -> None:
    mira, noah = await user("mira"), await user("noah")
    await observe(mira, "weight", "withings", 72.0, datetime.now(UTC))
    await calculate(database, [mira])
    await jobs.measure_confidence()
    assert testing.metric(running, "confidence_lag_seconds") == 0
    await database.execute(
        "INSERT INTO stale_confidences (user_id, stale_since) VALUES ($1, now() - interval '20 minutes')", noah
    )
    await jobs.measure_confidence()
    assert testing.metric(running, "confidence_lag_seconds") >= 1200
    assert testing.metric(running, "confidence_mean") == 40 + 20 + 2 + 10


async def test_users_that_cannot_be_calculated_together_go_one_by_one(running: Service) -> None:
    mira, noah = await user("mira"), await user("noah")
    for who in (mira, noah):
        await observe(who, "weight", "withings", 72.0, datetime.now(UTC))
    await database.execute(f"ALTER TABLE confidences ADD CHECK (user_id <> {noah})")
    await jobs.calculate_confidences.enqueue(users=[mira, noah])
    failures = await testing.drain(running, with_scheduled=True)
    assert len(failures) == 1 + 5, "together once, then the broken one alone, five times"
    assert ("weight", "withings") in await confidences(mira)
    (dead,) = await database.fetch("SELECT arguments FROM roadworthy.dead_jobs")
    assert dead["arguments"] == {"users": [noah]}
