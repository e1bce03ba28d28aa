"""What only the engine on PostgreSQL has: transactions of the caller's, wake-ups, and connections that can be lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roadworthy.database import driver
from roadworthy.database.pool import Pool
from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.engine import Done, NewJob, Release
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.postgres import PostgresEngine
from roadworthy.jobs.session import Session
from roadworthy.telemetry.registry import MetricRegistry
from schema import create_job_tables

JOB = NewJob("mail", "send", b"{}", 3)
LEASE = timedelta(seconds=60)


@pytest.fixture
def metrics() -> MetricRegistry:
    return MetricRegistry(CATALOGUE)


@pytest.fixture
async def engine(dsn: str, pool: Pool, metrics: MetricRegistry) -> AsyncIterator[PostgresEngine]:
    await create_job_tables(pool)
    opened = PostgresEngine(pool, dsn, metrics=metrics)
    yield opened
    await opened.close()


async def test_jobs_of_a_transaction_are_seen_when_it_commits_and_then_listeners_hear(
    engine: PostgresEngine, pool: Pool
) -> None:
    async with engine.listen() as hints:
        async with pool.transaction():
            for _ in range(50):
                await engine.enqueue([JOB])
            assert len(engine._watches) == 1, "one watch for a transaction, however much it enqueues"
            assert await engine.claim("mail", limit=99, lease=LEASE, worker="w") == []
        async with asyncio.timeout(60):
            assert await anext(hints) == "mail"
        assert len(await engine.claim("mail", limit=99, lease=LEASE, worker="w")) == 50
    assert engine._watched == {}


async def test_a_raw_connection_of_the_callers_carries_jobs_too(engine: PostgresEngine, dsn: str) -> None:
    raw = await driver.connect(dsn)
    try:
        block = raw.transaction()
        await block.start()
        await engine.enqueue([JOB], connection=raw)
        await block.rollback()
        assert await engine.counts() == []
        await engine.enqueue([JOB], connection=raw)
        assert len(await engine.operations.jobs()) == 1
    finally:
        await raw.close()


async def test_only_what_was_added_is_counted(engine: PostgresEngine, metrics: MetricRegistry) -> None:
    keyed = NewJob("mail", "send", b"{}", 3, unique_key="a")
    await engine.enqueue([JOB, keyed, keyed])
    assert metrics.value("jobs_enqueued_total", {"queue": "mail", "job": "send"}) == 2


async def test_a_claim_beyond_its_limit_is_an_error(engine: PostgresEngine) -> None:
    await engine.enqueue([JOB] * 3)
    engine._sql = {**engine._sql, "claim_jobs": engine._sql["claim_jobs"].replace("LIMIT $2", "LIMIT $2 + 1")}  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="ignores the limit"):
        await engine.claim("mail", limit=2, lease=LEASE, worker="w")


async def terminate(pool: Pool, name: str) -> None:
    await pool.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = $1 AND datname = current_database()",
        name,
    )


async def test_a_lost_connection_is_reported_once_and_replaced(engine: PostgresEngine, pool: Pool) -> None:
    await engine.enqueue([JOB])
    (job,) = await engine.claim("mail", limit=1, lease=LEASE, worker="w")
    await terminate(pool, "roadworthy claims")
    results: list[Any] = []
    for _ in range(3):
        try:
            results.append(await engine.claim("mail", limit=1, lease=LEASE, worker="w"))
        except DatabaseUnavailable:
            results.append(None)
    assert results[-1] == []
    assert await engine.complete([Done(job.id, job.lease)]) == set()


async def test_a_listener_learns_that_its_connection_is_gone(engine: PostgresEngine, pool: Pool) -> None:
    async def listen() -> None:
        async with engine.listen() as hints:
            listening.set()
            async for _ in hints:
                pass

    listening = asyncio.Event()
    task = asyncio.create_task(listen())
    await listening.wait()
    await terminate(pool, "roadworthy wake-ups")
    with pytest.raises(DatabaseUnavailable, match="wake-ups was lost"):
        async with asyncio.timeout(60):
            await task


async def test_an_idle_listener_checks_its_connection(
    engine: PostgresEngine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roadworthy.jobs.postgres._KEEPALIVE", 0.01)
    async with engine.listen() as hints:
        next_hint = asyncio.ensure_future(anext(hints))
        await asyncio.sleep(0.1)
        await engine.enqueue([JOB])
        async with asyncio.timeout(60):
            assert await next_hint == "mail"


async def test_a_session_answers_an_unreachable_database_with_one_error() -> None:
    session = Session("postgresql://nobody@127.0.0.1:1/none", "SELECT 1", name="test", timeout=timedelta(seconds=2))
    with pytest.raises(DatabaseUnavailable):
        await session.fetch("SELECT 1")
    await session.close()


async def test_a_statement_past_its_time_out_gives_the_connection_up(dsn: str) -> None:
    session = Session(dsn, "SELECT 1", name="test", timeout=timedelta(seconds=1))
    with pytest.raises(DatabaseUnavailable, match="try again"):
        await session.fetch("SELECT pg_sleep(30)")
    assert (await session.fetchrow("SELECT 1"))[0] == 1
    await session.close()


async def test_wake_ups_that_cannot_be_sent_do_not_reach_the_caller(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        engine, "_sql", {**engine._sql, "notify": "SELECT pg_terminate_backend(pg_backend_pid()) WHERE $1 IS NOT NULL"}
    )
    await engine.enqueue([JOB])
    await asyncio.sleep(0.1)
    assert len(await engine.operations.jobs()) == 1


async def test_single_enqueues_need_no_pool_and_many_at_once_share_it(engine: PostgresEngine, pool: Pool) -> None:
    await engine.enqueue([JOB])
    async with pool.acquire(), pool.acquire(), pool.acquire(), pool.acquire(), pool.acquire():
        async with asyncio.timeout(60):
            await engine.enqueue([JOB])
    await asyncio.gather(*(engine.enqueue([JOB]) for _ in range(20)))
    assert len(await engine.operations.jobs()) == 22


async def test_an_enqueue_waits_for_a_database_that_is_away_as_long_as_the_pool_does(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        raise DatabaseUnavailable("not yet")

    monkeypatch.setattr(engine._direct, "open", refuse)
    await engine.enqueue([JOB])
    assert len(await engine.operations.jobs()) == 1


async def test_a_lost_connection_is_one_error_for_every_method(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fatal = "SELECT pg_terminate_backend(pg_backend_pid())"
    for part in (engine, engine.operations):
        monkeypatch.setattr(part, "_sql", dict.fromkeys(part._sql, fatal))
    calls: list[Any] = [engine.counts, engine.operations.jobs]
    for call in calls:
        with pytest.raises(DatabaseUnavailable):
            await call()


async def test_the_end_of_the_calendar_stops_nobody(engine: PostgresEngine, pool: Pool) -> None:
    await engine.enqueue([JOB])
    await pool.execute("UPDATE roadworthy.jobs SET state = 0, run_at = 'infinity'")
    due = await engine.promote()
    assert due is not None
    assert timedelta(0) < due <= timedelta(hours=1)
    await engine.enqueue([NewJob("mail", "send", b"{}", 3, run_at=datetime(1, 1, 2, tzinfo=UTC))])
    assert len(await engine.claim("mail", limit=9, lease=LEASE, worker="w")) == 1


async def test_a_connection_that_could_not_be_set_up_is_not_used(dsn: str) -> None:
    session = Session(dsn, "SELECT pg_sleep(30)", name="test", timeout=timedelta(seconds=0.3))
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await session.fetch("SELECT 1")


async def test_what_comes_back_behind_a_dear_frontier_is_found_in_its_time(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roadworthy.jobs.frontier._CHEAP", -1.0)
    monkeypatch.setattr("roadworthy.jobs.frontier._DEAR", -1.0)
    await engine.enqueue([JOB] * 4)
    first = await engine.claim("mail", limit=2, lease=LEASE, worker="w")
    engine._frontiers["mail"]._whole_at += 1.5
    await engine.complete([Release(job.id, job.lease) for job in first])
    assert {job.id for job in await engine.claim("mail", limit=9, lease=LEASE, worker="w")}.isdisjoint(
        job.id for job in first
    )
    async with asyncio.timeout(60):
        while not (again := await engine.claim("mail", limit=9, lease=LEASE, worker="w")):
            await asyncio.sleep(0.02)
    assert [job.id for job in again] == [job.id for job in first]


async def test_a_slow_claim_from_the_beginning_is_not_added_to_one_that_found_jobs(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roadworthy.jobs.frontier._CHEAP", -1.0)
    await engine.enqueue([JOB] * 3)
    first = await engine.claim("mail", limit=2, lease=LEASE, worker="w")
    await engine.claim("mail", limit=1, lease=LEASE, worker="w")
    await engine.complete([Release(job.id, job.lease) for job in first])
    (new,) = await engine.enqueue([JOB])
    engine._frontiers["mail"]._whole_at = time.monotonic() + 60.0
    assert [job.id for job in await engine.claim("mail", limit=9, lease=LEASE, worker="w")] == [new]
    behind = await engine.claim("mail", limit=9, lease=LEASE, worker="w")
    assert [job.id for job in behind] == [job.id for job in first], "nothing else is there"
