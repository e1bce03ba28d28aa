"""The latest metrics: which value wins, when they are refreshed, and that neither a failure nor a lag goes unseen."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from people import add_user, confide, observe

from roadworthy import Service, minutes, seconds, testing
from vitals.reading import latest
from vitals.reading.jobs import refresh_latest_metrics
from vitals.reading.latest import Freshness
from vitals.service import database

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def winner(user: int, metric: str = "weight") -> tuple[str, float, str]:
    await latest.refresh(database, force=True)
    row = await database.fetchrow(
        "SELECT source, value, badge FROM internal.latest_unified_metrics WHERE user_id = $1 AND metric = $2",
        user,
        metric,
    )
    assert row is not None
    return row["source"], row["value"], row["badge"]


async def test_the_most_trusted_source_wins_then_the_preferred_then_the_most_recent(running: Service) -> None:
    user = await add_user("ada")
    await observe(user, "weight", "manual", 70.0, NOW)
    await observe(user, "weight", "garmin", 71.0, NOW - timedelta(days=1))
    await observe(user, "weight", "oura", 72.0, NOW - timedelta(days=2))
    assert await winner(user) == ("garmin", 71.0, "poor")
    await observe(user, "weight", "oura", 73.0, NOW)
    assert await winner(user) == ("oura", 73.0, "poor")
    await confide(user, "weight", "manual", 61)
    assert await winner(user) == ("manual", 70.0, "good")
    await observe(user, "weight", "manual", 69.0, NOW - timedelta(days=9))
    assert await winner(user) == ("manual", 70.0, "good")


@pytest.mark.parametrize(
    ("confidence", "badge"),
    [(100, "excellent"), (80, "excellent"), (79, "good"), (60, "good"), (59, "fair"), (40, "fair"), (39, "poor")],
)
async def test_badges(running: Service, confidence: int, badge: str) -> None:
    assert await database.fetchval("SELECT internal.badge($1)", confidence) == badge


async def test_a_metric_of_a_user_has_one_row(running: Service) -> None:
    user = await add_user("ada")
    for source in ("manual", "garmin", "oura"):
        for day in range(3):
            await observe(user, "steps", source, day, NOW - timedelta(days=day))
    await latest.refresh(database, force=True)
    rows = await database.fetch("SELECT * FROM internal.latest_unified_metrics")
    assert [(row["metric"], row["sources"], row["unit"]) for row in rows] == [("steps", 3, "count")]


async def test_it_is_refreshed_only_when_something_changed_and_not_too_often(running: Service) -> None:
    assert await latest.refresh(database) == "fresh"
    user = await add_user("ada")
    await observe(user, "weight", "manual", 70.0, NOW)
    await database.execute("UPDATE internal.latest_refresh SET refreshed_at = now()")
    assert (await latest.freshness(database)).lag > timedelta(0)
    assert await latest.refresh(database) == "early"
    await database.execute("UPDATE internal.latest_refresh SET refreshed_at = now() - interval '1 minute'")
    assert await latest.refresh(database) == "refreshed"
    found = await latest.freshness(database)
    assert (found.changed_at, found.lag, found.due) == (None, timedelta(0), False)
    assert await latest.refresh(database) == "fresh"


async def test_a_statement_that_changes_no_row_makes_no_refresh_due(running: Service) -> None:
    user = await add_user("ada")
    await observe(user, "weight", "manual", 70.0, NOW)
    await latest.refresh(database, force=True)
    for statement in (
        "INSERT INTO observations SELECT * FROM observations ON CONFLICT DO NOTHING",
        "UPDATE observations SET value = 1 WHERE false",
        "DELETE FROM confidences",
    ):
        await database.execute(statement)
        assert (await latest.freshness(database)).changed_at is None, statement
    await database.execute("DELETE FROM users")
    assert (await latest.freshness(database)).changed_at is not None


async def test_what_commits_while_it_is_refreshed_is_left_for_the_next_time(running: Service) -> None:
    user = await add_user("ada")
    async with database.acquire() as other:
        open_transaction = other.transaction()
        await open_transaction.start()
        await observe(user, "weight", "manual", 70.0, NOW, connection=other)
        await observe(user, "steps", "manual", 9000, NOW)
        assert await latest.refresh(database, force=True) == "refreshed"
        await open_transaction.commit()
    assert await database.fetchval("SELECT count(*) FROM internal.latest_unified_metrics") == 1
    assert (await latest.freshness(database)).changed_at is not None
    await latest.refresh(database, force=True)
    assert await database.fetchval("SELECT count(*) FROM internal.latest_unified_metrics") == 2


async def test_two_never_refresh_at_once(running: Service) -> None:
    user = await add_user("ada")
    await observe(user, "weight", "manual", 70.0, NOW)
    async with database.acquire() as other, other.transaction():
        await other.fetchval(latest.QUERIES["lock"])
        outcomes = await asyncio.gather(*(latest.refresh(database, force=True) for _ in range(2)))
    assert outcomes == ["busy", "busy"]
    assert await latest.refresh(database, force=True) == "refreshed"


async def test_nobody_waits_for_a_refresh_neither_to_read_nor_to_write(running: Service) -> None:
    user = await add_user("ada")
    await observe(user, "weight", "manual", 70.0, NOW)
    await latest.refresh(database, force=True)
    await observe(user, "weight", "manual", 71.0, NOW)
    async with database.acquire() as refreshing, refreshing.transaction():
        await refreshing.execute(latest.QUERIES["take_changes"])
        await refreshing.execute(latest.QUERIES["refresh"])
        async with asyncio.timeout(60):
            assert await database.fetchval("SELECT value FROM internal.latest_unified_metrics") == 70
            await observe(user, "weight", "manual", 72.0, NOW)
    assert await database.fetchval("SELECT value FROM internal.latest_unified_metrics") == 71
    assert (await latest.freshness(database)).changed_at is not None


async def test_a_failure_is_raised_noted_counted_and_retried_later(running: Service) -> None:
    user = await add_user("ada")
    await observe(user, "weight", "manual", 70.0, NOW)
    await database.execute("UPDATE internal.latest_refresh SET refreshed_at = now() - interval '1 minute'")
    await database.execute("DROP INDEX internal.latest_unified_metrics_key")
    with pytest.raises(Exception, match="cannot refresh materialized view"):
        await refresh_latest_metrics()
    found = await latest.freshness(database)
    assert (found.failures, found.due) == (1, False)
    assert found.failure is not None
    assert "unique index" in found.failure or "cannot refresh" in found.failure
    assert testing.metric(running, "latest_metrics_refreshes_total", outcome="failed") == 1
    assert found.changed_at is not None
    await database.execute(
        "CREATE UNIQUE INDEX latest_unified_metrics_key ON internal.latest_unified_metrics (user_id, metric)"
    )
    await database.execute("UPDATE internal.latest_refresh SET failed_at = now() - interval '1 minute'")
    await refresh_latest_metrics()
    assert (await latest.freshness(database)).failure is None
    assert testing.metric(running, "latest_metrics_lag_seconds") == 0


async def test_a_refresh_that_is_killed_loses_no_change(running: Service) -> None:
    user = await add_user("ada")
    await observe(user, "weight", "manual", 70.0, NOW)
    async with database.acquire() as blocking, blocking.transaction():
        await blocking.execute("LOCK TABLE observations IN ACCESS EXCLUSIVE MODE")
        refreshing = asyncio.create_task(latest.refresh(database, force=True))
        async with asyncio.timeout(60):
            while not await database.fetchval(KILL):
                await asyncio.sleep(0.02)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await refreshing
    found = await latest.freshness(database)
    assert (found.failures, found.changed_at is not None) == (1, True)
    assert await latest.refresh(database, force=True) == "refreshed"
    assert await database.fetchval("SELECT count(*) FROM internal.latest_unified_metrics") == 1


KILL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ 'REFRESH'
"""


def state(*, took: float = 0, changed: float | None = 100, refreshed: float = 60, failures: int = 0) -> Freshness:
    return Freshness(
        now=NOW,
        refreshed_at=NOW - seconds(refreshed),
        took=seconds(took),
        changed_at=None if changed is None else NOW - seconds(changed),
        failures=failures,
        failed_at=NOW - seconds(refreshed) if failures else None,
        failure="boom" if failures else None,
    )


def test_a_refresh_takes_at_most_a_tenth_of_the_time() -> None:
    assert state(took=0.01, refreshed=11).due
    assert not state(took=0.01, refreshed=9).due
    assert not state(took=3, refreshed=29).due
    assert state(took=3, refreshed=31).due
    assert not state(changed=None).due


def test_failures_wait_longer_and_longer_but_never_for_good() -> None:
    assert state(failures=1, refreshed=21).due
    assert not state(failures=3, refreshed=60).due
    assert state(failures=400, refreshed=301).due


def test_a_lag_is_overdue_a_minute_after_a_refresh_was_possible() -> None:
    assert not state(refreshed=69).overdue
    assert state(refreshed=71).overdue
    assert not state(refreshed=1000, changed=59).overdue
    assert not state(refreshed=1000, changed=None).overdue
    assert state(refreshed=1000, changed=90).lag == minutes(1.5)
