"""A hundred thousand dead jobs, and the command that retries them: interrupted, repeated, and each retried once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from launching import until
from roadworthy.database.pool import Pool
from roadworthy.jobs.engine import Bury, Failure
from roadworthy.jobs.postgres import PostgresEngine
from schema import create_job_tables

DEAD = 100_000
FAILURE = Failure("ConnectionError", "refused again", "")

_BURY = """
INSERT INTO roadworthy.dead_jobs
    (id, lease, queue, job, arguments, priority, attempt, attempts, enqueued_at, died_at, error_class, message,
     traceback, failures)
SELECT n, 5, 'mail', 'send', json_build_object('n', n), 0, 3, 3, now(), now(), 'ConnectionError', 'refused', '', '[]'
FROM generate_series(1, $1::int) AS n
"""
_CHANGED = "SELECT coalesce(sum(changed), 0) FROM roadworthy.job_audit"
_HELD_UP = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
_END = """
SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
# A job that came back once has the lease after that with which it was buried.
_RETRIED_ONCE = "SELECT count(*) FROM roadworthy.jobs WHERE lease = 6"


@asynccontextmanager
async def command(dsn: str, *arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "roadworthy",
        "jobs",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=os.environ | {"DATABASE_URL": dsn},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def cut_short(dsn: str, pool: Pool, number: int, *arguments: str) -> tuple[int | None, str]:
    """Run the command and interrupt it once it has touched some jobs; return its exit code and what it said."""

    async def held_up() -> bool:
        return bool(await pool.fetchval(_CHANGED)) and bool(await pool.fetchval(_HELD_UP))

    async with pool.acquire() as connection, connection.transaction(), command(dsn, *arguments) as running:
        # It cannot get past this one, however slow this test is.
        await connection.execute("SELECT FROM roadworthy.dead_jobs WHERE id = $1 FOR UPDATE", DEAD // 2)
        await until(held_up, "the first batches")
        running.send_signal(number)
        _, said = await asyncio.wait_for(running.communicate(), 60)
        # Whose client was killed waits on.
        await pool.fetchval(_END)
        return running.returncode, said.decode()


async def test_a_hundred_thousand_dead_jobs_are_each_retried_once(dsn: str, pool: Pool) -> None:
    await create_job_tables(pool)
    await pool.execute(_BURY, DEAD)
    retry = ("retry", "--error", "ConnectionError", "--yes", "--json", "--reason", "the mail server is back")

    assert (await cut_short(dsn, pool, signal.SIGKILL, *retry))[0] == -signal.SIGKILL
    touched = await pool.fetchval(_CHANGED)
    assert 0 < touched < DEAD
    assert await pool.fetchval(_RETRIED_ONCE) == touched

    # Some of those that came back die again of the same, and are not to be retried once more.
    engine = PostgresEngine(pool, dsn)
    again = await engine.claim("mail", limit=200, lease=timedelta(minutes=1), worker="test")
    await engine.complete([Bury(job.id, job.lease, FAILURE) for job in again])
    await engine.close()

    async with command(dsn, *retry) as second:
        answer, said = await asyncio.wait_for(second.communicate(), 120)
    assert second.returncode == 0
    assert b"was interrupted after" in said
    assert json.loads(answer) | {"operation": 0} == {
        "operation": 0,
        "asked": DEAD,
        "changed": DEAD,
        "conflicts": 0,
        "gone": 0,
    }
    assert await pool.fetchval(_RETRIED_ONCE) == await pool.fetchval("SELECT count(*) FROM roadworthy.jobs")
    assert await pool.fetchval(_RETRIED_ONCE) == DEAD - len(again)
    assert await pool.fetchval("SELECT array_agg(id ORDER BY id) FROM roadworthy.dead_jobs") == sorted(
        job.id for job in again
    )
    (audited,) = await pool.fetch("SELECT asked, changed, reason, finished_at FROM roadworthy.job_audit")
    assert (audited["asked"], audited["changed"], audited["reason"]) == (DEAD, DEAD, "the mail server is back")
    assert audited["finished_at"] is not None


async def test_an_interrupt_says_how_to_go_on(dsn: str, pool: Pool) -> None:
    await create_job_tables(pool)
    await pool.execute(_BURY, DEAD)
    discard = ("discard", "--queue", "mail", "--yes")
    code, said = await cut_short(dsn, pool, signal.SIGINT, *discard)
    assert code == 130
    assert "run the same command again to go on" in said
    changed, (left,) = await pool.fetchval(_CHANGED), await pool.fetchrow("SELECT count(*) FROM roadworthy.dead_jobs")
    assert 0 < changed == DEAD - left
