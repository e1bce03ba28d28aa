"""What limits and pauses cost in PostgreSQL, under statistics that lie as a queue's do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from roadworthy import Limit, Service, testing
from roadworthy.database import driver, queries
from roadworthy.database.pool import Pool
from roadworthy.jobs.engine import ClaimedJob, Done, JobOptions, NewJob
from roadworthy.jobs.frontier import WHOLE
from roadworthy.jobs.limits import LimitRule
from roadworthy.jobs.postgres import PostgresEngine
from schema import create_job_tables

SQL = queries.load_queries("roadworthy.jobs")
LIMITED = queries.load_queries("roadworthy.jobs", "limits.sql")
LEASE = timedelta(seconds=60)
PER_USER = LimitRule("job:send:at_once:{user}", "send", "{user}", 1, None, None)
PER_KIND = LimitRule("job:send:at_once", "send", None, 50, None, None)
RULES = [[PER_USER.family, PER_KIND.family], ["send", "send"], ["{user}", None], [1, 50], [None, None], [None, None]]
SPAN = [[WHOLE[0][0][0]], [WHOLE[0][0][1]], [WHOLE[0][0][2]], [WHOLE[0][1]]]

_BLOCKED = """
INSERT INTO roadworthy.jobs
    (state, blocked_by, queue, job, arguments, attempts, priority, run_at, enqueued_at, options)
SELECT 4, 'job:send:at_once:{user}:["ann"]', 'mail', 'send', '{}', 5, 0, now(), now(),
    '{"limit_keys": {"{user}": "[\\"ann\\"]"}}'
FROM generate_series(1, $1)
"""
_READY = """
INSERT INTO roadworthy.jobs (state, queue, job, arguments, attempts, priority, run_at, enqueued_at, options)
SELECT 1, 'mail', 'send', '{}', 5, 0, now(), now(),
    jsonb_build_object('limit_keys', jsonb_build_object('{user}', '["user ' || n || '"]'))
FROM generate_series(1, 2000) AS n
"""
_ANN = """
INSERT INTO roadworthy.job_limits (name, family, queue, whole_queue, at_once, running)
VALUES ('job:send:at_once:{user}:["ann"]', 'job:send:at_once:{user}', 'mail', false, 1, 1)
"""


@pytest.fixture(autouse=True)
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claim from the beginning, however slow the machine: a claim from further on may find jobs out of order."""
    monkeypatch.setattr("roadworthy.jobs.frontier._CHEAP", 3600.0)


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Any]:
    opened = await driver.connect(dsn)
    await create_job_tables(opened)
    # The statistics that a test makes are to stay as they are.
    for table in ("jobs", "job_limits", "job_pauses"):
        await opened.execute(f"ALTER TABLE roadworthy.{table} SET (autovacuum_enabled = off)")
    await opened.execute(SQL["pin_plans"])
    yield opened
    await opened.close()


async def never_analysed(connection: Any) -> None:
    """Leave the planner without statistics."""


async def analysed_when_drained(connection: Any) -> None:
    await connection.execute(_READY)
    await connection.execute("DELETE FROM roadworthy.jobs")
    await connection.execute("VACUUM ANALYZE roadworthy.jobs, roadworthy.job_limits, roadworthy.job_pauses")


async def touched(connection: Any, statement: str, *arguments: Any) -> int:
    """Run a statement for the pages that it touches, and undo it."""
    counts: list[int] = []
    for _ in range(2):
        # The first call of a session plans, which reads the catalogues.
        transaction = connection.transaction()
        await transaction.start()
        found = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *arguments)
        await transaction.rollback()
        plan = found[0]["Plan"]
        counts.append(int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]))
    return counts[-1]


@pytest.mark.parametrize("statistics", [never_analysed, analysed_when_drained])
async def test_claims_and_ends_cost_the_same_however_many_jobs_of_a_full_key_wait(
    connection: Any, statistics: Any
) -> None:
    costs: list[dict[str, int]] = []
    for size in (0, 40_000):
        await connection.execute("TRUNCATE roadworthy.jobs, roadworthy.job_limits")
        await statistics(connection)
        await connection.execute(_ANN)
        await connection.execute(_BLOCKED, size)
        await connection.execute(_READY)
        claim = ("mail", 50, LEASE, "w")
        costs.append(
            {
                "claim": await touched(connection, SQL["claim_jobs"], *claim),
                "limited claim": await touched(connection, LIMITED["claim_limited_jobs"], *claim, *SPAN, 50, *RULES),
                "end": await touched(
                    connection,
                    "SELECT roadworthy.free_slots($1::text::jsonb)",
                    '[["job:send:at_once:{user}:[\\"ann\\"]"]]',
                ),
                "promotion": await touched(connection, SQL["promote_jobs"], 1000),
            }
        )
    none, many = costs
    for what, cost in many.items():
        assert cost < none[what] * 2 + 50, f"{what}: {none[what]} pages without, {cost} with 40,000 waiting"


async def test_a_pause_is_looked_up_at_no_cost_that_grows(connection: Any) -> None:
    await connection.execute(_READY)
    claim = ("mail", 50, LEASE, "w")
    before = await touched(connection, SQL["claim_jobs"], *claim)
    await connection.execute("INSERT INTO roadworthy.job_pauses VALUES ('other', NULL, now(), '', '')")
    assert await touched(connection, SQL["claim_jobs"], *claim) < before * 2
    await connection.execute("INSERT INTO roadworthy.job_pauses VALUES ('mail', NULL, now(), '', '')")
    assert await touched(connection, SQL["claim_jobs"], *claim) <= 5


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AsyncIterator[PostgresEngine]:
    await create_job_tables(pool)
    opened = PostgresEngine(pool, dsn)
    yield opened
    await opened.close()


def of_user(user: str) -> NewJob:
    return NewJob("mail", "send", b"{}", 5, options=JobOptions(limit_keys={"{user}": f'["{user}"]'}))


async def claim(engine: PostgresEngine, limit: int = 10) -> list[ClaimedJob]:
    return await engine.claim("mail", limit=limit, lease=LEASE, worker="w", limits=[PER_USER])


async def test_jobs_of_a_full_key_are_passed_once(engine: PostgresEngine, pool: Pool) -> None:
    await engine.enqueue([of_user("ann")] * 5000)
    await engine.enqueue([of_user(f"user {n}") for n in range(20)])
    taken = await claim(engine)
    while len(taken) != 10:
        taken += await claim(engine, 10 - len(taken))
    versions = "SELECT count(*) FROM roadworthy.jobs WHERE state = 4 AND xmin::text::bigint > $1"
    newest = await pool.fetchval("SELECT max(xmin::text::bigint) FROM roadworthy.jobs")
    for _ in range(3):
        assert await engine.complete([Done(job.id, job.lease) for job in taken]) == set()
        taken = await claim(engine)
        assert taken
    assert await pool.fetchval(versions, newest) == 0, "jobs that a full key holds back were written again"


async def test_claims_and_ends_from_all_sides_never_wait_for_each_other_in_circles(
    dsn: str, pool: Pool, engine: PostgresEngine
) -> None:
    others = [PostgresEngine(pool, dsn) for _ in range(3)]
    everyone = [engine, *others]
    rules = [PER_USER, LimitRule("queue:mail:at_once:{site}", None, "{site}", 2, None, None)]
    await engine.enqueue(
        [
            NewJob(
                "mail",
                "send",
                b"{}",
                5,
                options=JobOptions(limit_keys={"{user}": f"[{n % 7}]", "{site}": f"[{n * 5 % 11}]"}),
            )
            for n in range(300)
        ]
    )
    ran: list[int] = []

    async def work(own: PostgresEngine) -> None:
        async with asyncio.timeout(60):
            while len(ran) < 300:
                jobs = await own.claim("mail", limit=5, lease=LEASE, worker="w", limits=rules)
                await own.complete([Done(job.id, job.lease) for job in jobs])
                ran.extend(job.id for job in jobs)
                await own.mend(["mail"], rules)

    await asyncio.gather(*(work(own) for own in everyone))
    assert len(set(ran)) == 300
    assert await engine.counts() == []
    for own in others:
        await own.close()


async def test_a_running_job_that_a_person_deletes_gives_its_slot_back(engine: PostgresEngine, pool: Pool) -> None:
    await engine.enqueue([of_user("ann")] * 2)
    (first,) = await claim(engine)
    await pool.execute("DELETE FROM roadworthy.jobs WHERE id = $1", first.id)
    assert await claim(engine) == []
    await engine.mend(["mail"], [PER_USER])
    assert len(await claim(engine)) == 1
    assert await pool.fetchval("SELECT running FROM roadworthy.job_limits") == 1


async def test_counters_that_nobody_uses_are_forgotten(engine: PostgresEngine, pool: Pool) -> None:
    await engine.enqueue([of_user(f"user {n}") for n in range(10)])
    taken = await claim(engine)
    await engine.mend(["mail"], [PER_USER])
    assert await pool.fetchval("SELECT count(*) FROM roadworthy.job_limits") == 10
    await engine.complete([Done(job.id, job.lease) for job in taken])
    await engine.mend(["mail"], [PER_USER])
    assert await pool.fetchval("SELECT count(*) FROM roadworthy.job_limits") == 0


async def test_a_deleted_counter_and_an_interrupted_resumption_leave_nobody_behind(
    engine: PostgresEngine, pool: Pool
) -> None:
    await engine.enqueue([of_user("ann")] * 3)
    assert len(await claim(engine)) == 1
    await pool.execute("DELETE FROM roadworthy.job_limits")
    await engine.mend(["mail"], [PER_USER])
    assert (await engine.counts())[0].blocked == 0
    await engine.operations.pause("mail", "send")
    assert await claim(engine) == []
    assert (await engine.counts())[0].blocked == 2
    await pool.execute("DELETE FROM roadworthy.job_pauses")
    await engine.mend(["mail"], [PER_USER])
    assert (await engine.counts())[0].blocked == 0


async def test_slots_are_held_by_running_jobs_alone(engine: PostgresEngine, pool: Pool) -> None:
    await engine.enqueue([of_user("ann")])
    assert len(await claim(engine)) == 1
    with pytest.raises(Exception, match="jobs_hold_slots_while_running"):
        await pool.execute("UPDATE roadworthy.jobs SET state = 1")


async def test_a_service_limits_and_pauses_its_jobs_by_its_handles() -> None:
    service = Service("shop")
    mail = service.queue("mail", limits=[Limit(at_once=3)])
    there: Counter[str] = Counter()
    ran: list[str] = []

    @mail.job(limits=[Limit(at_once=1, per="{user}")])
    async def send(user: str, n: int) -> None:
        there[user] += 1
        assert there[user] == 1
        await asyncio.sleep(0.001)
        ran.append(f"{user} {n}")
        there[user] -= 1

    @mail.job()
    async def sweep() -> None:
        ran.append("swept")

    async with testing.running(service):
        assert await send.pause(by="ann", reason="the provider is down")
        assert not await send.pause()
        await send.enqueue_many([{"user": f"user {n % 2}", "n": n} for n in range(10)])
        await sweep.enqueue()
        await testing.drain(service)
        assert ran == ["swept"]
        assert await send.resume()
        await testing.drain(service)
        assert [one for one in ran if one.startswith("user 1")] == [f"user 1 {n}" for n in range(1, 10, 2)]
        assert len(ran) == 11
        assert await mail.pause()
        await sweep.enqueue()
        assert await mail.resume()
        assert not await mail.resume()
        await testing.drain(service)
    assert ran.count("swept") == 2


async def test_keys_of_more_jobs_than_are_resumed_at_once_all_come_back(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roadworthy.jobs.postgres_limits._RESUMED_AT_ONCE", 3)
    await engine.operations.pause("mail", "send")
    await engine.enqueue([of_user(f"user {n}") for n in range(10)])
    assert await claim(engine) == []
    assert (await engine.counts())[0].blocked == 10
    assert await engine.operations.resume("mail", "send")
    assert (await engine.counts())[0].ready == 10


async def test_a_process_that_stops_before_a_commit_does_not_keep_others_from_claiming(
    dsn: str, pool: Pool, engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction, stopped, go_on = pool.transaction, asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def stopping() -> AsyncIterator[Any]:
        async with transaction() as connection:
            yield connection
            stopped.set()
            await go_on.wait()

    await engine.enqueue([of_user("ann")] * 2)
    (job,) = await claim(engine)
    briefly = engine._sql["idle_briefly"].replace("5s", "200ms")
    monkeypatch.setattr(engine, "_sql", {**engine._sql, "idle_briefly": briefly})
    monkeypatch.setattr(pool, "transaction", stopping)

    async def finish() -> None:
        async with engine.finishing(job.id, job.lease):
            pass

    finishing = asyncio.create_task(finish())
    async with asyncio.timeout(60):
        await stopped.wait()
        # This one needs the counter, which is let go with the transaction: the slot is taken as before.
        await engine.enqueue([of_user("ann")])
        assert await claim(engine) == []
        go_on.set()
        await asyncio.wait([finishing])
    assert finishing.exception() is not None
    assert (await engine.counts())[0].running == 1
