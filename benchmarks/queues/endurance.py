"""What shows only after a while: ten rounds through one worker, and a transaction that stays open."""

from __future__ import annotations

import os
import signal
from statistics import median

from roadworthy.database import driver

from .passes import Pass, Samples
from .processes import Producer, cpu_seconds
from .servers import Database

BUSY_AUTOVACUUM = {"autovacuum_naptime": "3s"}
"""So that a minute shows what else takes hours."""

_ROUND = 100_000
_DRAINED = 50_000
_FILLED_AT_ONCE = 500_000
_HELD_RATE = 2_000.0
_AUTOVACUUMS = "SELECT sum(autovacuum_count) FROM pg_stat_user_tables"


async def rounds(one: Pass, producer: Producer, worker: int, database: Database, count: int) -> tuple[Samples, str]:
    """Drain `count` times 100,000 jobs with the same worker, which is stopped while they are added."""
    rates, spent = [], []
    for _ in range(count):
        before = cpu_seconds(worker) + cpu_seconds(database.pid)
        rates.append(await _round(one, producer, worker, _ROUND))
        spent.append((cpu_seconds(worker) + cpu_seconds(database.pid) - before) * 1e6 / _ROUND)
    vacuums = await database.run("bench", _AUTOVACUUMS)
    samples = {
        "processed, first of ten rounds": rates[0],
        "processed, slowest of ten rounds": min(rates),
        "processed, last of ten rounds": rates[-1],
        "last round to the first": rates[-1] / rates[0],
        "last three rounds to the first three, medians": median(rates[-3:]) / median(rates[:3]),
        "CPU per job, first of ten rounds": spent[0],
        "CPU per job, last of ten rounds": spent[-1],
    }
    course = ", ".join(f"{rate:,.0f} ({cpu:.0f} µs)" for rate, cpu in zip(rates, spent, strict=True))
    return samples, f"{course} jobs/s (processor time per job, enqueuing included) in turn, {vacuums} autovacuums"


async def held(one: Pass, producer: Producer, worker: int, database: Database, seconds: float) -> Samples:
    """Drain and pick up before and after a transaction was open for `seconds`, under load, and still is."""
    before = await _round(one, producer, worker, _DRAINED)
    holder = await driver.connect(database.postgres.dsn_of("bench"))
    try:
        await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1")
        await one.loaded(producer, _HELD_RATE, "pickup at 2,000/s, transaction open", seconds, last=0.2)
        during = await _round(one, producer, worker, _DRAINED)
    finally:
        holder.terminate()
    return {
        "processed, before a transaction stays open": before,
        "processed, transaction open": during,
        "transaction open to before": during / before,
    }


_HISTORY = """
INSERT INTO roadworthy.finished_jobs
    (id, queue, job, arguments, priority, attempt, attempts, enqueued_at, finished_at, keep_until, worker, cancelled)
SELECT -n, 'default', 'noop', '{"number":1}', 0, 1, 5, now(), now(), now() + interval '1 day', 'bench', false
FROM generate_series({first}, {last}) AS n
"""


async def history(one: Pass, producer: Producer, worker: int, database: Database, finished: int) -> Samples:
    """Drain jobs that are kept before and after `finished` others are."""
    before = await _round(one, producer, worker, _DRAINED)
    for first in range(1, finished + 1, _FILLED_AT_ONCE):
        last = min(first + _FILLED_AT_ONCE - 1, finished)
        await database.run("bench", _HISTORY.replace("{first}", str(first)).replace("{last}", str(last)))
    # What filling leaves to do is not the queue's; nor is that each page is written whole once after a checkpoint.
    await database.run("bench", "VACUUM (ANALYZE) roadworthy.finished_jobs")
    await database.run("postgres", "CHECKPOINT")
    await _round(one, producer, worker, one.launcher.entry.jobs)
    after = await _round(one, producer, worker, _DRAINED)
    return {
        "processed, results kept": before,
        "processed, results kept, many finished": after,
        "many finished to before": after / before,
    }


async def _round(one: Pass, producer: Producer, worker: int, count: int) -> float:
    os.killpg(worker, signal.SIGSTOP)
    try:
        answer = await producer.order("together", first=one.number(count), count=count, batch=1_000, most=300)
        if answer["count"] < count:
            raise one.launcher.fail(f"only {answer['count']} of {count} jobs could be added in time")
    finally:
        os.killpg(worker, signal.SIGCONT)
    return await one.finished(count)
