"""Workflows under several engines at once: every job in its turn, once, and nobody waits for another for ever."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from roadworthy.database.pool import Pool
from roadworthy.jobs.dead_letters import EVERYTHING, carry_out
from roadworthy.jobs.engine import Bury, Done, Failure, NewJob, Outcome, Postpone, Release
from roadworthy.jobs.flows import Member, NewWorkflow
from roadworthy.jobs.postgres import PostgresEngine
from schema import create_job_tables

LEASE = timedelta(minutes=5)
FAILURE = Failure("ValueError", "no", "")
JOBS = 400


def graph(chance: random.Random) -> list[Member]:
    """Return jobs of which each waits for up to four of those before it."""
    return [
        Member(
            NewJob("mail", "send", b'{"n":%d}' % n, 1),
            sorted(chance.sample(range(max(n - 40, 0), n), min(n, chance.randrange(5)))),
            "finished" if chance.random() < 0.3 else "succeeded",
        )
        for n in range(JOBS)
    ]


async def test_every_job_of_a_graph_runs_in_its_turn_whoever_ends_its_predecessors(pool: Pool, dsn: str) -> None:
    await create_job_tables(pool)
    chance = random.Random(20261123)
    members = graph(chance)
    succeeded: list[int] = []
    ended: set[int] = set()
    async with AsyncExitStack() as stack:
        engines = [PostgresEngine(pool, dsn) for _ in range(4)]
        for engine in engines:
            stack.push_async_callback(engine.close)
        flow, _ = await engines[0].flows.add(NewWorkflow("graph", members, timedelta(days=1)))

        async def work(engine: PostgresEngine, name: str) -> None:
            while len(succeeded) < JOBS:
                jobs = await engine.claim("mail", limit=chance.randrange(1, 40), lease=LEASE, worker=name)
                outcomes: list[Outcome] = []
                for job in jobs:
                    n = json.loads(job.arguments)["n"]
                    done = set(succeeded)
                    met = done if members[n].when == "succeeded" else done | ended
                    assert met.issuperset(members[n].after), n
                    match chance.random():
                        case low if low < 0.2:
                            ended.add(n)
                            outcomes.append(Bury(job.id, job.lease, FAILURE))
                        case low if low < 0.3:
                            outcomes.append(Release(job.id, job.lease))
                        case low if low < 0.4:
                            outcomes.append(Postpone(job.id, job.lease, timedelta(0)))
                        case _:
                            succeeded.append(n)
                            outcomes.append(Done(job.id, job.lease))
                assert await engine.complete(outcomes) == set()
                if not jobs:
                    await carry_out(engine.dead_letters, "retry", EVERYTHING, who=name)
                    await asyncio.sleep(0.005)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number, engine in enumerate(engines):
                group.create_task(work(engine, f"w{number}"))
        state = await engines[0].flows.workflow(flow)
    assert state is not None
    assert (state.succeeded, state.finished) == (JOBS, True)
    assert sorted(succeeded) == list(range(JOBS))
    assert await pool.fetchval("SELECT count(*) FROM roadworthy.job_edges") == 0


async def test_cancelling_while_jobs_end_leaves_nothing_behind(pool: Pool, dsn: str) -> None:
    await create_job_tables(pool)
    chance = random.Random(20261124)
    async with AsyncExitStack() as stack:
        engines = [PostgresEngine(pool, dsn) for _ in range(3)]
        for engine in engines:
            stack.push_async_callback(engine.close)
        flow, ids = await engines[0].flows.add(NewWorkflow("graph", graph(chance), timedelta(days=1)))

        async def work(engine: PostgresEngine) -> None:
            while (state := await engine.flows.workflow(flow)) is not None and state.unfinished:
                jobs = await engine.claim("mail", limit=20, lease=LEASE, worker="w")
                await engine.complete([Done(job.id, job.lease) for job in jobs])

        async def cancel() -> None:
            for _ in range(20):
                await engines[2].flows.cancel([id or 0 for id in chance.sample(ids, 5)])
                await asyncio.sleep(0.005)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(work(engines[0]))
            group.create_task(work(engines[1]))
            group.create_task(cancel())
        state = await engines[0].flows.workflow(flow)
    assert state is not None
    assert state.finished
    assert state.succeeded + state.cancelled == JOBS
    assert await pool.fetchval("SELECT count(*) FROM roadworthy.job_edges WHERE NOT met") == 0


async def test_a_job_that_is_claimed_while_it_is_being_cancelled_is_asked_to_end(pool: Pool, dsn: str) -> None:
    await create_job_tables(pool)
    async with AsyncExitStack() as stack:
        engine = PostgresEngine(pool, dsn)
        stack.push_async_callback(engine.close)
        (id,) = await engine.enqueue([NewJob("mail", "send", b"{}", 1)])
        assert id is not None
        original = engine.flows.drop

        async def late(given: Any, **options: Any) -> Any:
            # Between the two looks, a worker takes it.
            await engine.claim("mail", limit=1, lease=LEASE, worker="w")
            return await original(given, **options)

        engine.flows.drop = late  # type: ignore[method-assign]
        assert await engine.flows.cancel([id]) == (0, 1)
        assert {found for found, _ in (await engine.flows.cancellations("w")).running} == {id}
