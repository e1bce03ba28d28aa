"""Effects that a job writes under its lease: in the database exactly once, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from roadworthy import CurrentJob, NotRunning, Service, current_job, from_thread, hours, testing
from roadworthy.errors import LeaseLost
from roadworthy.jobs.engine import ClaimedJob, Release

service = Service("effects")
database = service.database()
work = service.queue("work", attempts=3, lease=hours(1))
failures: list[str] = []


def mine() -> CurrentJob:
    job = current_job()
    assert job is not None
    return job


@work.job()
async def transfer(n: int, *, fail: str = "") -> None:
    async with mine().exactly_once() as connection:
        await connection.execute("INSERT INTO effects (n) VALUES ($1)", n)
        await database.execute("INSERT INTO effects (n) VALUES ($1)", n + 1000)
        if fail == "inside":
            raise ArithmeticError(fail)
    if fail == "after":
        raise ArithmeticError(fail)


@work.job()
def transfer_in_thread(n: int) -> None:
    with from_thread(mine().exactly_once()) as connection:
        from_thread(connection.execute("INSERT INTO effects (n) VALUES ($1)", n))
        from_thread(database.execute("INSERT INTO effects (n) VALUES ($1)", n + 1000))


@work.job()
async def fenced(n: int, *, lose: bool = False) -> None:
    job = mine()
    try:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO effects (n) VALUES ($1)", n)
            if lose:
                await service.binding("test").engine.complete([Release(job.id, job.lease)])
            await job.fence(connection)
    except LeaseLost as error:
        failures.append(str(error))


@work.job()
async def chain(n: int) -> None:
    """Enqueue the next with the effect."""
    async with mine().exactly_once() as connection:
        await connection.execute("INSERT INTO effects (n) VALUES ($1)", n)
        if n:
            await chain.enqueue(n - 1)


@pytest.fixture(autouse=True)
async def running() -> AsyncIterator[None]:
    async with testing.running(service):
        await database.execute("CREATE TABLE effects (n int NOT NULL)")
        failures.clear()
        yield


async def effects() -> list[int]:
    return [row["n"] for row in await database.fetch("SELECT n FROM effects ORDER BY n")]


async def left() -> int:
    return int(await database.fetchval("SELECT count(*) FROM roadworthy.jobs"))


@pytest.mark.parametrize("job", [transfer, transfer_in_thread])
async def test_the_effect_and_the_end_are_one_commit(job: object) -> None:
    await (transfer if job is transfer else transfer_in_thread).enqueue(n=1)
    await testing.drain(service)
    assert await effects() == [1, 1001]
    assert await left() == 0
    assert testing.metric(service, "jobs_finished_total", queue="work", job=job.name, outcome="succeeded") == 1  # type: ignore[attr-defined]


async def test_an_error_inside_writes_nothing_and_is_retried() -> None:
    await transfer.enqueue(n=1, fail="inside")
    await testing.drain(service)
    assert await effects() == []
    assert await database.fetchval("SELECT attempt FROM roadworthy.jobs") == 1


async def test_an_error_afterwards_comes_too_late() -> None:
    await transfer.enqueue(n=1, fail="after")
    await testing.drain(service)
    assert await effects() == [1, 1001]
    assert await left() == 0


async def test_what_it_enqueues_is_committed_with_it() -> None:
    await chain.enqueue(n=3)
    await testing.drain(service)
    assert await effects() == [0, 1, 2, 3]


async def test_a_fence_lets_the_effect_in_while_the_lease_holds() -> None:
    await fenced.enqueue(n=1)
    await testing.drain(service)
    assert await effects() == [1]
    assert failures == []


async def test_a_fence_refuses_the_effect_of_a_lost_lease() -> None:
    engine = service.binding("test").engine
    await fenced.enqueue(n=1)
    (job,) = await engine.claim("work", limit=1, lease=hours(1), worker="w")
    await engine.complete([Release(job.id, job.lease)])
    stale = CurrentJob(job, engine)
    with pytest.raises(LeaseLost):
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO effects (n) VALUES (1)")
            await stale.fence(connection)
    with pytest.raises(LeaseLost):
        async with stale.exactly_once() as connection:
            await connection.execute("INSERT INTO effects (n) VALUES (1)")
    assert await effects() == []
    assert not stale.finished


async def test_whoever_would_end_the_holding_waits_for_the_fenced_transaction() -> None:
    engine = service.binding("test").engine
    await fenced.enqueue(n=1)
    (job,) = await engine.claim("work", limit=1, lease=hours(1), worker="w")
    async with asyncio.TaskGroup() as group, database.transaction() as connection:
        await CurrentJob(job, engine).fence(connection)
        returning = group.create_task(engine.complete([Release(job.id, job.lease)]))
        await asyncio.wait([returning], timeout=0.1)
        assert not returning.done()
    assert returning.result() == set()


async def test_misuse_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = service.binding("test").engine
    job = CurrentJob(ClaimedJob(1, 1, "work", "fenced", b"{}", 1, 3, 0.0), engine)
    async with database.acquire() as connection:
        with pytest.raises(RuntimeError, match="in none; begin one"):
            await job.fence(connection)
    with pytest.raises(RuntimeError, match="leave the one that is open first"):
        async with database.transaction(), job.exactly_once():
            pass
    with pytest.raises(NotRunning, match="exactly_once"):
        async with CurrentJob(job.claimed, None).exactly_once():
            pass
    job.finished = True
    with pytest.raises(LeaseLost, match="in one exactly_once"):
        async with job.exactly_once():
            pass
