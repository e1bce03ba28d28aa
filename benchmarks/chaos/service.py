"""The service under test: jobs of every kind, each with one effect."""

from __future__ import annotations

import asyncio
import os
import random
import time
from datetime import UTC, datetime

from roadworthy import Backoff, CurrentJob, Limit, Service, current_job, from_thread, seconds
from roadworthy.database import driver
from roadworthy.jobs.control import Snooze

LEASE = seconds(3)
AT_ONCE = 2
ACCOUNTS = 2

service = Service("chaos", version="1.0.0", owner="tests")
database = service.database(migrations="migrations", pool=(1, 12))
soon = Backoff(base=seconds(0.1), longest=seconds(2))
work = service.queue("work", attempts=60, lease=LEASE, concurrency=100, backoff=soon, timeout=seconds(30))
threads = service.queue("threads", attempts=60, lease=LEASE, concurrency=8, backoff=soon)
computing = service.queue("computing", attempts=60, lease=LEASE, concurrency=2, backoff=soon, timeout=seconds(30))

_EFFECT = "INSERT INTO effects (n, kind, job_id, lease, attempt) VALUES ($1, $2, $3, $4, $5)"
_FIRST_EFFECT = (
    "INSERT INTO effects (n, kind, job_id, lease, attempt) SELECT $1, $2, $3, $4, $5 "
    "WHERE NOT EXISTS (SELECT FROM effects WHERE n = $1)"
)


def mine() -> CurrentJob:
    """Return the job that is running."""
    job = current_job()
    assert job is not None
    return job


async def finish(n: int) -> None:
    """Write the effect of the order, and end the job with it."""
    job = mine()
    async with job.exactly_once() as connection:
        await connection.execute(_EFFECT, n, job.job, job.id, job.lease, job.attempt)


@work.job()
async def plain(n: int, takes: float) -> None:
    """Wait, and finish."""
    await asyncio.sleep(takes)
    await finish(n)


@work.job()
async def flaky(n: int, failures: int) -> None:
    """Fail some attempts before."""
    if mine().attempt <= failures:
        raise ConnectionError("not yet")
    await finish(n)


@work.job(attempts=2)
async def doomed(n: int) -> None:
    """Fail always."""
    raise ValueError(f"order {n} cannot be done")


@work.job()
async def snoozed(n: int) -> None:
    """Put it off some times."""
    if random.random() < 0.5:
        raise Snooze(seconds(random.uniform(0.1, 0.5)))
    await finish(n)


@work.job(timeout=seconds(1))
async def hanging(n: int) -> None:
    """Hang in the first attempt, which its timeout ends."""
    if mine().attempt == 1:
        await asyncio.sleep(3600)
    await finish(n)


@work.job(limits=[Limit(at_once=AT_ONCE, per="{account}")])
async def limited(n: int, account: int, takes: float) -> None:
    """Run at most twice at once for an account, over all workers."""
    running = await database.fetchval(
        "SELECT count(*) FROM roadworthy.jobs "
        "WHERE state = 2 AND job = 'limited' AND (arguments ->> 'account')::int = $1",
        account,
    )
    if running > AT_ONCE:
        await database.execute("INSERT INTO violations (what) VALUES ($1)", f"{running} of account {account} at once")
    await asyncio.sleep(takes)
    await finish(n)


@threads.job()
def threaded(n: int, takes: float) -> None:
    """Block a thread, and finish."""
    time.sleep(takes)
    from_thread(finish(n))


@computing.job(process=True)
def computed(n: int, takes: float) -> None:
    """Take a child, and write the effect from there: under the fence, unless an earlier attempt did."""
    time.sleep(takes)
    asyncio.run(_record(n))


async def _record(n: int) -> None:
    job = mine()
    connection = await driver.connect(os.environ["DATABASE_URL"])
    try:
        async with connection.transaction():
            await job.fence(connection)
            await connection.execute(_FIRST_EFFECT, n, job.job, job.id, job.lease, job.attempt)
    finally:
        await connection.close(timeout=2)


@work.job(every=seconds(1))
async def tick() -> None:
    """Note when it was due."""
    job = mine()
    due = job.fire_time or datetime.now(UTC)
    async with job.exactly_once() as connection:
        await connection.execute("INSERT INTO ticks (fire_time, job_id) VALUES ($1, $2)", due, job.id)
