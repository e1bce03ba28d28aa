"""The functions for people in psql, and what a batch of an operation costs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from roadworthy import DeadFilter, InvalidFilter, NotRunning, Service
from roadworthy.database.pool import Pool
from roadworthy.jobs.postgres import PostgresEngine
from roadworthy.runtime.lifecycle import opened
from schema import create_job_tables

_BURY = """
INSERT INTO roadworthy.dead_jobs
    (id, lease, queue, job, arguments, priority, unique_key, attempt, attempts, enqueued_at, died_at, error_class,
     message, traceback, failures)
SELECT n, 5, 'mail', 'send', json_build_object('n', n), 0, n::text, 3, 3, now(), now() - make_interval(mins => n),
    CASE WHEN n % 2 = 0 THEN 'smtp.Refused' ELSE 'KeyError' END, 'no ' || n, '', '[]'
FROM generate_series(1, $1::int) AS n
"""


_READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'dead_jobs'"


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AsyncIterator[PostgresEngine]:
    await create_job_tables(pool)
    engine = PostgresEngine(pool, dsn)
    yield engine
    await engine.close()


async def test_people_count_retry_and_discard_by_name(engine: PostgresEngine, pool: Pool) -> None:
    await pool.execute(_BURY, 10)
    assert await pool.fetchval("SELECT roadworthy.count_dead()") == 10
    assert await pool.fetchval("SELECT roadworthy.count_dead(error_class => 'Refused', message => 'no 1')") == 1
    assert await pool.fetchval("SELECT roadworthy.count_dead(died_before => now() - interval '8 minutes 30 s')") == 2
    assert await pool.fetchval("SELECT roadworthy.count_dead(died_after => now() - interval '2 minutes 30 s')") == 2
    assert await pool.fetchval("SELECT roadworthy.count_dead(arguments => '{\"n\": 3}')") == 1
    assert await pool.fetchval("SELECT roadworthy.count_dead(arguments_path => '$.n > 7')") == 3
    assert await pool.fetchval("SELECT roadworthy.count_dead(ids => '{1,2,99}', job => 'send', queue => 'mail')") == 2
    row = await pool.fetchrow(
        "SELECT * FROM roadworthy.retry_dead(error_class => 'smtp.Refused', expected => 5, reason => 'mended')"
    )
    assert row is not None
    assert (row["asked"], row["changed"], row["conflicts"]) == (5, 5, 0)
    assert {record.state for record in await engine.operations.jobs(limit=5, before=11)} == {"ready", "dead"}
    await pool.execute("SELECT roadworthy.discard_dead(at_most => 2, who => 'ann')")
    assert [record.id for record in await engine.dead_letters.jobs()] == [5, 3, 1], "the others died first"
    discarded, retried = await engine.dead_letters.audit()
    assert (discarded.who, discarded.filter, discarded.changed) == ("ann", {"at_most": 2}, 2)
    assert (retried.filter, retried.reason) == ({"error_class": "smtp.Refused"}, "mended")
    assert "@" in retried.who
    assert retried.finished_at is not None
    (group,) = await pool.fetch("SELECT * FROM roadworthy.dead_groups()")
    assert (group["error_class"], group["count"], group["message"]) == ("KeyError", 3, "no 5")


async def test_another_number_than_expected_changes_nothing(engine: PostgresEngine, pool: Pool) -> None:
    await pool.execute(_BURY, 3)
    for call in ("retry_dead(expected => 2)", "discard_dead(expected => 4)", "retry_dead(per_second => 0)"):
        with pytest.raises(asyncpg.PostgresError, match=r"3 dead jobs match, not \d|per_second must be above 0"):
            await pool.execute(f"SELECT roadworthy.{call}")
    assert len(await engine.dead_letters.jobs()) == 3
    assert await engine.dead_letters.audit() == []


async def test_workers_are_told_of_what_came_back(engine: PostgresEngine, pool: Pool) -> None:
    await pool.execute(_BURY, 3)
    async with engine.listen() as hints:
        await pool.execute("SELECT roadworthy.retry_dead()")
        assert await anext(hints) == "mail"


async def test_a_batch_reads_what_it_touches_whatever_the_statistics_say(engine: PostgresEngine, pool: Pool) -> None:
    await pool.execute(_BURY, 3000)
    await pool.execute("DELETE FROM roadworthy.dead_jobs")
    await pool.execute("ANALYZE roadworthy.dead_jobs")
    await pool.execute(_BURY, 20_000)
    letters = engine.dead_letters
    chosen = await letters.choose(DeadFilter())
    begun = await letters.begin("retry", chosen, who="test", reason=None, per_second=None)
    async with pool.transaction() as connection:
        before = await connection.fetchval(_READ)
        state = await letters.proceed(begun.id, limit=100)
        read = await connection.fetchval(_READ) - before
    assert state.changed == 100
    assert 100 <= read < 2000


async def test_a_service_looks_after_its_own(engine: PostgresEngine, pool: Pool, dsn: str) -> None:
    service = Service("shop")
    service.database()
    await pool.execute(_BURY, 10)
    with pytest.raises(NotRunning):
        await service.dead_letters.groups()
    async with opened(service.spec, dsn) as binding, service.bind(binding):
        letters = service.dead_letters
        refused = DeadFilter(error_class="Refused")
        assert [group.count for group in await letters.groups()] == [5, 5]
        assert [job.id for job in await letters.jobs(refused, limit=2)] == [10, 8]
        assert await letters.count(refused) == 5
        with pytest.raises(InvalidFilter):
            await letters.retry(refused, who="ann", expected=4)
        assert (await letters.retry(refused, who="ann", expected=5)).changed == 5
        assert (await letters.discard(DeadFilter(at_most=2), who="ann", reason="old")).changed == 2
        assert await letters.count() == 3
