"""All that takes slots and gives them back, at once, from several engines: the counters are right at every moment."""

from __future__ import annotations

import asyncio
import contextlib
import random
from datetime import timedelta

from roadworthy.database.pool import Pool
from roadworthy.errors import LeaseLost
from roadworthy.jobs.engine import (
    Bury,
    Cancelled,
    ClaimedJob,
    Done,
    Failure,
    JobOptions,
    NewJob,
    Outcome,
    Postpone,
    Release,
    Retry,
)
from roadworthy.jobs.limits import LimitRule
from roadworthy.jobs.postgres import PostgresEngine
from schema import create_job_tables

_RULES = [
    LimitRule("job:a:at_once:{user}", "a", "{user}", 1, None, None),
    LimitRule("queue:q:at_once:{site}", None, "{site}", 2, None, None),
    LimitRule("job:a:at_once", "a", None, 5, None, None),
    LimitRule("job:b:rate/1s", "b", None, None, timedelta(milliseconds=2), 20),
    LimitRule("queue:q:at_once", None, None, 8, None, None),
]
_FAILURE = Failure("ValueError", "no", "")
_MOMENT = timedelta(milliseconds=10)
_WRONG = """
WITH held AS (
    SELECT slot AS name, count(*)::integer AS slots
    FROM roadworthy.jobs, unnest(holds) AS slot WHERE state = 2 GROUP BY 1
)
SELECT name, held.slots, kept.running, kept.at_once
FROM held FULL JOIN (SELECT * FROM roadworthy.job_limits WHERE running > 0) AS kept USING (name)
WHERE held.slots IS DISTINCT FROM kept.running OR kept.running > kept.at_once
"""


class Storm:
    """One of those who do anything, in an order of its own."""

    def __init__(self, engine: PostgresEngine, seed: int) -> None:
        self.engine = engine
        self.random = random.Random(seed)
        self.held: list[ClaimedJob] = []
        self.ended = 0

    async def rage(self, times: int) -> None:
        deeds = [
            self.claim,
            self.claim,
            self.end,
            self.end,
            self.end,
            self.crash,
            self.look_after,
            self.pause,
            self.add,
        ]
        for _ in range(times):
            await self.random.choice(deeds)()

    async def add(self) -> None:
        draw = self.random.randint
        await self.engine.enqueue(
            [
                NewJob(
                    "q",
                    self.random.choice("ab"),
                    b"{}",
                    5,
                    priority=draw(0, 2),
                    options=JobOptions(limit_keys={"{user}": f"[{draw(0, 5)}]", "{site}": f"[{draw(0, 4)}]"}),
                )
                for _ in range(draw(1, 10))
            ]
        )

    async def claim(self) -> None:
        lease = self.random.choice([5 * _MOMENT, timedelta(seconds=5), timedelta(seconds=5)])
        limit = self.random.randint(1, 6)
        self.held += await self.engine.claim("q", limit=limit, lease=lease, worker="w", limits=_RULES)

    async def end(self) -> None:
        self.random.shuffle(self.held)
        some, self.held = self.held[:3], self.held[3:]
        if some and self.random.random() < 0.1:
            with contextlib.suppress(LeaseLost):
                async with self.engine.finishing(some[0].id, some.pop(0).lease):
                    await asyncio.sleep(0.001)
        lost = await self.engine.complete([self._outcome(job.id, job.lease) for job in some])
        self.ended += len(some) - len(lost)

    def _outcome(self, id: int, lease: int) -> Outcome:
        outcomes: list[Outcome] = [
            Done(id, lease),
            Release(id, lease),
            Retry(id, lease, self.random.choice([timedelta(0), _MOMENT]), _FAILURE),
            Bury(id, lease, _FAILURE),
            Postpone(id, lease, _MOMENT),
            Cancelled(id, lease),
        ]
        return self.random.choice(outcomes)

    async def crash(self) -> None:
        if self.random.random() < 0.3:
            self.held.clear()

    async def look_after(self) -> None:
        await self.engine.rescue()
        await self.engine.promote()
        await self.engine.mend(["q"], _RULES)

    async def pause(self) -> None:
        if self.random.random() < 0.4:
            await self.engine.operations.pause("q", self.random.choice([None, "a", "b"]))
            return
        for pause in await self.engine.operations.pauses():
            await self.engine.operations.resume(pause.queue, pause.job)


async def test_counters_agree_with_what_runs_whatever_happens_at_once(dsn: str, pool: Pool) -> None:
    await create_job_tables(pool)
    storms = [Storm(PostgresEngine(pool, dsn), seed) for seed in range(5)]
    wrong: list[object] = []

    async def watch() -> None:
        while True:
            wrong.extend(await pool.fetch(_WRONG))
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for storm in storms:
            group.create_task(storm.rage(150))
    watching.cancel()
    assert wrong == []
    assert sum(storm.ended for storm in storms) > 20

    engine = storms[0].engine
    for pause in await engine.operations.pauses():
        await engine.operations.resume(pause.queue, pause.job)
    async with asyncio.timeout(60):
        while any(count.ready + count.running + count.blocked + count.scheduled for count in await engine.counts()):
            await storms[0].look_after()
            jobs = await engine.claim("q", limit=50, lease=timedelta(seconds=5), worker="w", limits=_RULES)
            await engine.complete([Done(job.id, job.lease) for job in jobs])
    assert await pool.fetch(_WRONG) == []
    assert await pool.fetchval("SELECT count(*) FROM roadworthy.job_limits WHERE running > 0") == 0
    for storm in storms:
        await storm.engine.close()
