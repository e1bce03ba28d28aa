"""Limits when those who hold slots die, or are paused for longer than their lease. Workers are real processes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from roadworthy.database.pool import Pool
from roadworthy.jobs.engine import JobOptions, NewJob
from roadworthy.jobs.postgres import PostgresEngine
from schema import create_job_tables

_SCRIPT = Path(__file__).with_name("limited_process.py")
_SITES = 7
_JOBS = 210
_AT_ONCE = 5
_LEASE = 1.0

# Who held a job, from when until when, as those who claim and take away say in their transactions.
_WITNESS = """
CREATE TABLE effects (n int NOT NULL, site text NOT NULL);
CREATE TABLE holdings (
    job_id bigint, lease bigint, site text, worker text, began timestamptz, ended timestamptz,
    PRIMARY KEY (job_id, lease)
);
CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 2 THEN
        UPDATE holdings SET ended = clock_timestamp() WHERE job_id = OLD.id AND lease = OLD.lease;
    ELSIF NEW.state = 2 THEN
        INSERT INTO holdings VALUES (NEW.id, NEW.lease, NEW.arguments ->> 'site', NEW.worker, clock_timestamp());
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER witness AFTER UPDATE OF state OR DELETE ON roadworthy.jobs FOR EACH ROW EXECUTE FUNCTION witness();
"""


def new_visit(n: int) -> NewJob:
    site = f"site-{n % _SITES}"
    arguments = json.dumps({"n": n, "site": site, "seconds": 0.1}).encode()
    return NewJob("sites", "visit", arguments, 20, options=JobOptions(limit_keys={"{site}": json.dumps([site])}))


@asynccontextmanager
async def worker(dsn: str, name: str, directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    options = json.dumps({"dsn": dsn, "name": name, "lease": _LEASE, "at_once": _AT_ONCE})
    with (directory / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(_SCRIPT), options, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(pool: Pool, query: str, *arguments: str) -> None:
    async with asyncio.timeout(60):
        while not await pool.fetchval(query, *arguments):
            await asyncio.sleep(0.05)


async def stop_with_a_job(process: asyncio.subprocess.Process, name: str, pool: Pool) -> None:
    """Stop a worker at a moment at which it holds a job."""
    holds = "SELECT EXISTS (SELECT FROM holdings WHERE worker = $1 AND ended IS NULL)"
    while True:
        await until(pool, holds, name)
        process.send_signal(signal.SIGSTOP)
        # What it had sent to the database before is done by then.
        await asyncio.sleep(0.2)
        if await pool.fetchval(holds, name):
            return
        process.send_signal(signal.SIGCONT)


def most_at_once(holdings: list[Any]) -> int:
    """How many of the intervals overlap at most."""
    turns = sorted([(row["began"], 1) for row in holdings] + [(row["ended"], -1) for row in holdings])
    running = most = 0
    for _, change in turns:
        running += change
        most = max(most, running)
    return most


async def test_limits_hold_while_one_worker_is_killed_and_one_paused_past_its_lease(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    await create_job_tables(pool)
    await pool.execute(_WITNESS)
    engine = PostgresEngine(pool, dsn)
    async with AsyncExitStack() as stack:
        killed, paused, *others = [
            await stack.enter_async_context(worker(dsn, name, tmp_path)) for name in ("killed", "paused", "one", "two")
        ]
        await until(pool, "SELECT count(*) = 4 FROM roadworthy.job_workers")
        await engine.enqueue([new_visit(n) for n in range(_JOBS)])
        await stop_with_a_job(killed, "killed", pool)
        killed.kill()
        await stop_with_a_job(paused, "paused", pool)
        await until(pool, "SELECT true FROM holdings WHERE worker = 'paused' AND ended > began + interval '1 second'")
        paused.send_signal(signal.SIGCONT)
        await until(pool, "SELECT NOT EXISTS (SELECT FROM roadworthy.jobs)")
        for process in (paused, *others):
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0

    holdings = await pool.fetch("SELECT * FROM holdings")
    assert most_at_once(holdings) == _AT_ONCE
    for site in {row["site"] for row in holdings}:
        assert most_at_once([row for row in holdings if row["site"] == site]) == 1
    done = await pool.fetch("SELECT n FROM effects ORDER BY n")
    assert [row["n"] for row in done] == list(range(_JOBS))
    rescued = {row["worker"] for row in holdings if row["ended"] - row["began"] >= timedelta(seconds=_LEASE)}
    assert rescued >= {"killed", "paused"}, "nobody lost a job"
    slots = await pool.fetch("SELECT name, running FROM roadworthy.job_limits WHERE running <> 0")
    assert slots == []
    await engine.close()
