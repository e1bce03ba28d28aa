"""`roadworthy run` adds worker processes for a burst, takes them away after it, and cuts no job short."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import psutil

from launching import HERE, Launched, launched, until
from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.postgres import PostgresEngine

TARGET = f"{HERE / 'scaled.py'}:service"
EFFECTS = "CREATE TABLE effects (kind text NOT NULL, pid bigint NOT NULL)"


class Scaled:
    """A running service, with its database."""

    def __init__(self, run: Launched, pool: Pool, engine: PostgresEngine, log: Path) -> None:
        self.run = run
        self.pool = pool
        self.engine = engine
        self.log = log

    async def enqueue(self, *durations: float) -> None:
        arguments = [json.dumps({"duration": duration}).encode() for duration in durations]
        await self.engine.enqueue([NewJob("work", "wait", text, 5) for text in arguments])

    async def effects(self, kind: str) -> int:
        return int(await self.pool.fetchval("SELECT count(*) FROM effects WHERE kind = $1", kind))

    async def hide(self) -> None:
        """Have the autoscaler count none of the jobs that run, whichever worker they are on."""
        await self.pool.execute("UPDATE roadworthy.jobs SET queue = 'elsewhere'")

    async def workers(self, queue: str = "work") -> dict[str, str]:
        """Return the state of each worker process of a queue, by name."""
        checks = (await self.run.health())["checks"]
        prefix = f"process:worker-{queue}-"
        return {
            name.removeprefix(prefix): readings[0]["observedValue"]["state"]
            for name, readings in checks.items()
            if name.startswith(prefix)
        }

    async def has(self, queue: str, **states: int) -> None:
        """Wait until there are so many workers in each state, and no others."""

        async def found() -> bool:
            seen = list((await self.workers(queue)).values())
            return {state: seen.count(state) for state in set(seen)} == {k: n for k, n in states.items() if n}

        await until(found, f"workers of {queue}: {states}")

    async def happened(self, kind: str, count: int) -> None:
        async def so() -> bool:
            return await self.effects(kind) == count

        await until(so, f"{count} effects {kind!r}")

    def decisions(self, queue: str = "work") -> list[tuple[int, int]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [
            (line["before"], line["workers"]) for line in lines if line["event"] == "scaling" and line["queue"] == queue
        ]


@asynccontextmanager
async def scaled(directory: Path, dsn: str, **environ: str) -> AsyncIterator[Scaled]:
    async with (
        await Pool.open(dsn, DatabaseSpec("main", pool=(1, 2))) as pool,
        launched(directory, "run", TARGET, environ={"DATABASE_URL": dsn, **environ}) as run,
    ):
        await pool.execute(EFFECTS)
        await run.said("^ready")
        engine = PostgresEngine(pool, dsn)
        try:
            yield Scaled(run, pool, engine, directory / "log")
        finally:
            await engine.close()


async def test_workers_follow_a_burst_to_the_bound_and_return(tmp_path: Path, dsn: str) -> None:
    async with scaled(tmp_path, dsn) as service:
        await service.has("work", ready=1)
        await service.enqueue(*[0.5] * 40)
        await service.has("work", ready=3)
        assert await service.run.metric('queue_desired_workers{queue="work"}') >= 3
        assert (await service.run.client.get(await service.run.operations() + "/startupz")).status_code == 200
        await service.happened("ended", 40)
        await service.has("work", ready=1)
        assert await service.effects("begun") == 40, "each ran once"
        assert await service.run.metric('jobs_finished_total{queue="work",job="wait",outcome="succeeded"}') == 40
        assert service.decisions() in ([(1, 3), (3, 1)], [(1, 2), (2, 3), (3, 1)], [(1, 3), (3, 2), (2, 1)])
        service.run.process.send_signal(signal.SIGTERM)
        assert await service.run.ended() == 0


async def test_scale_in_lets_a_long_job_finish(tmp_path: Path, dsn: str) -> None:
    """Long beyond the grace, which is for the end of the service alone."""
    async with scaled(tmp_path, dsn, ROADWORTHY_DRAIN_SECONDS="2") as service:
        await service.enqueue(*[20.0] * 5)
        await service.has("work", ready=3)
        await service.happened("begun", 5)
        pids = {row["pid"] for row in await service.pool.fetch("SELECT pid FROM effects")}
        assert len(pids) == 3
        await service.hide()
        await service.has("work", ready=1, draining=2)
        retired = [await service.run.status(f"worker-work-{number}") for number in (2, 3)]
        assert {status["pid"] for status in retired} < pids
        await service.happened("ended", 5)
        assert await service.effects("begun") == 5, "each ran once"
        await service.has("work", ready=1)


async def test_the_end_of_the_service_does_not_wait_for_a_retired_worker(tmp_path: Path, dsn: str) -> None:
    async with scaled(tmp_path, dsn, ROADWORTHY_DRAIN_SECONDS="8") as service:
        await service.enqueue(*[300.0] * 5)
        await service.has("work", ready=3)
        await service.happened("begun", 5)
        await service.hide()
        await service.has("work", ready=1, draining=2)
        service.run.process.send_signal(signal.SIGTERM)
        assert await service.run.ended() == 0
        (counts,) = await service.engine.counts()
        assert (counts.ready, counts.running) == (5, 0), "given back"


async def test_a_queue_scales_from_zero_and_back(tmp_path: Path, dsn: str) -> None:
    async with scaled(tmp_path, dsn) as service:
        assert await service.workers("idle") == {}
        # The only other worker is away, so nobody but the autoscaler makes the due job ready.
        await service.engine.enqueue([NewJob("idle", "seldom", b"{}", 5, delay=timedelta(seconds=1))])
        await service.happened("ended", 1)
        await service.has("idle")
        assert service.decisions("idle") == [(0, 1), (1, 0)]


async def test_a_killed_worker_that_was_added_is_replaced(tmp_path: Path, dsn: str) -> None:
    async with scaled(tmp_path, dsn) as service:
        await service.enqueue(*[300.0] * 6)
        await service.has("work", ready=3)
        psutil.Process((await service.run.status("worker-work-3"))["pid"]).kill()
        await until(lambda: service.run.is_ready_again("worker-work-3", 1), "the worker is back")
        assert len(await service.workers()) == 3
