"""The engines under test, each with a clock that tests can move."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.jobs.dead_letters import carry_out, named
from roadworthy.jobs.engine import PLAIN, Engine, Failure, JobOptions, NewJob
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.jobs.postgres import PostgresEngine
from schema import create_job_tables

LEASE = timedelta(seconds=60)
FAILURE = Failure("ValueError", "no", "Traceback ...")

_KEPT = (
    ("finished_jobs", "keep_until"),
    ("unique_keys", "until"),
    ("workflows", "keep_until"),
    ("dead_jobs", "died_at"),
)

_MOVE = """
UPDATE roadworthy.jobs SET run_at = run_at - $1::interval, lease_expires_at = lease_expires_at - $1::interval
"""
_MOVE_LIMITS = """
UPDATE roadworthy.job_limits SET tat = tat - $1::interval, opens_at = opens_at - $1::interval
"""


@dataclass(slots=True)
class Backend:
    """An engine, and how to let time pass for it."""

    engine: Engine
    advance: Callable[[timedelta], Awaitable[None]]


def new_job(
    n: int = 0,
    *,
    queue: str = "mail",
    job: str = "send",
    attempts: int = 3,
    priority: int = 0,
    key: str | None = None,
    delay: timedelta | None = None,
    run_at: datetime | None = None,
    limit_keys: dict[str, str] | None = None,
) -> NewJob:
    """Return a job that its argument tells apart."""
    return NewJob(
        queue=queue,
        job=job,
        arguments=b'{"n":%d}' % n,
        attempts=attempts,
        priority=priority,
        unique_key=key,
        delay=delay,
        run_at=run_at,
        options=JobOptions(limit_keys=limit_keys) if limit_keys else PLAIN,
    )


@asynccontextmanager
async def memory_backend() -> AsyncIterator[Backend]:
    """The model, on a clock of its own that moves a little with each look."""
    moment = datetime(2030, 1, 1, tzinfo=UTC)

    def clock() -> datetime:
        nonlocal moment
        moment += timedelta(microseconds=1)
        return moment

    async def advance(by: timedelta) -> None:
        nonlocal moment
        moment += by

    yield Backend(MemoryEngine(clock), advance)


@asynccontextmanager
async def postgres_backend(dsn: str) -> AsyncIterator[Backend]:
    """The engine on an empty database; time passes by moving what is kept into the past."""
    async with await Pool.open(dsn, DatabaseSpec("main", pool=(1, 5))) as pool:
        if await pool.fetchval("SELECT to_regclass('roadworthy.jobs')") is None:
            await create_job_tables(pool)
        engine = PostgresEngine(pool, dsn)

        async def advance(by: timedelta) -> None:
            await pool.execute(_MOVE, by)
            for table, column in _KEPT:
                await pool.execute(f"UPDATE roadworthy.{table} SET {column} = {column} - $1::interval", by)  # noqa: S608
            await pool.execute("UPDATE roadworthy.job_workers SET seen_at = seen_at - $1::interval", by)
            await pool.execute(_MOVE_LIMITS, by)
            # Jobs changed places behind the engine's back, as they never do.
            engine._frontiers.clear()

        try:
            yield Backend(engine, advance)
        finally:
            await engine.close()


async def retry_dead(engine: Engine, ids: Sequence[int]) -> int:
    """Retry these dead jobs; return how many are ready again."""
    return (await carry_out(engine.dead_letters, "retry", named(ids), who="test")).changed
