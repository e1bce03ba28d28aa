"""What becomes of jobs when their workers, their database or their clocks fail. Workers are real processes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.postgres import PostgresEngine
from roadworthy.runtime.embedded import EmbeddedPostgres
from schema import create_job_tables

_SCRIPT = Path(__file__).with_name("worker_process.py")
LONG = 30.0
"""A lease in seconds that ends in no test."""
_TABLE = "CREATE TABLE effects (n int NOT NULL, what text NOT NULL, attempt int NOT NULL, worker text NOT NULL)"


def new_job(job: str, n: int, *, attempts: int = 5, delay: timedelta | None = None, **more: Any) -> NewJob:
    return NewJob("work", job, json.dumps({"n": n, **more}).encode(), attempts, delay=delay)


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


@dataclass(slots=True)
class WorkerProcess:
    process: asyncio.subprocess.Process
    log_file: Path

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self, seconds: float = 60.0) -> int:
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_file.read_text(encoding="utf-8").splitlines()]

    def events(self) -> list[str]:
        return [line["event"] for line in self.log()]


@dataclass(slots=True)
class Scene:
    dsn: str
    pool: Pool
    engine: PostgresEngine
    directory: Path

    @asynccontextmanager
    async def worker(self, name: str, **options: Any) -> AsyncIterator[WorkerProcess]:
        log = self.directory / f"{name}.log"
        arguments = json.dumps({"dsn": self.dsn, "name": name, **options})
        with log.open("ab") as stream:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(_SCRIPT), arguments, stderr=stream, start_new_session=True
            )
        try:
            yield WorkerProcess(process, log)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def effects(self, what: str = "done") -> list[tuple[int, int, str]]:
        rows = await self.pool.fetch("SELECT n, attempt, worker FROM effects WHERE what = $1 ORDER BY n, attempt", what)
        return [tuple(row) for row in rows]

    async def begun(self, count: int = 1) -> None:
        async def enough() -> bool:
            return len(await self.effects("begun")) >= count

        await until(enough, "a job to begin")

    async def finished(self) -> None:
        async def empty() -> bool:
            return not await self.pool.fetchval("SELECT count(*) FROM roadworthy.jobs")

        await until(empty, "the queue to empty")


@pytest.fixture
async def scene(dsn: str, pool: Pool, tmp_path: Path) -> AsyncIterator[Scene]:
    await create_job_tables(pool)
    await pool.execute(_TABLE)
    engine = PostgresEngine(pool, dsn)
    yield Scene(dsn, pool, engine, tmp_path)
    await engine.close()


async def test_a_paused_worker_that_wakes_after_its_lease_is_rejected_and_says_so(scene: Scene) -> None:
    await scene.engine.enqueue([new_job("blocking", 1, seconds=2.0)])
    async with scene.worker("paused") as paused:
        await scene.begun()
        paused.send(signal.SIGSTOP)
        async with scene.worker("other", lease=LONG):
            await scene.begun(2)
            await scene.finished()
        paused.send(signal.SIGCONT)

        async def said_so() -> bool:
            return "lease lost" in paused.events()

        await until(said_so, "the rejection in the log")
        (line,) = [line for line in paused.log() if line["event"] == "lease lost"]
        assert line["reason"].startswith("its completion was rejected")
        assert line["attempt"] == 1
        paused.send(signal.SIGTERM)
        assert await paused.ended() == 0
    assert await scene.effects("begun") == [(1, 1, "paused"), (1, 2, "other")]
    assert await scene.engine.counts() == []


async def test_heartbeats_keep_a_job_longer_than_its_lease(scene: Scene) -> None:
    await scene.engine.enqueue([new_job("slow", 1, seconds=7.0)])
    async with scene.worker("one", lease=3.0), scene.worker("two", lease=3.0):
        await scene.finished()
    ((n, attempt, _),) = await scene.effects()
    assert (n, attempt) == (1, 1)


async def test_a_job_of_a_killed_worker_is_run_by_another(scene: Scene) -> None:
    await scene.engine.enqueue([new_job("slow", 1, seconds=1.0)])
    async with scene.worker("killed") as killed:
        await scene.begun()
        killed.send(signal.SIGKILL)
        await killed.ended()
        async with scene.worker("other", lease=LONG) as other:
            await scene.finished()
            assert "job rescued" in other.events()
    assert await scene.effects() == [(1, 2, "other")]


async def test_a_job_that_kills_its_process_ends_in_the_dead_letters(scene: Scene) -> None:
    (id,) = await scene.engine.enqueue([new_job("poison", 1, attempts=2)])
    assert id is not None
    for n in range(2):
        async with scene.worker(f"victim-{n}") as victim:
            assert await victim.ended() == 9
    async with scene.worker("undertaker"):
        await scene.finished()
        await scene.engine.enqueue([new_job("quick", 2)])
        await scene.finished()
    record = await scene.engine.operations.find(id)
    assert record is not None
    assert (record.state, record.attempt) == ("dead", 2)
    assert [(failure["attempt"], failure["worker"]) for failure in record.failures] == [
        (1, "victim-0"),
        (2, "victim-1"),
    ]
    assert {failure["error_class"] for failure in record.failures} == {"LeaseExpired"}
    assert [n for n, _, _ in await scene.effects()] == [2]


async def test_a_rollback_leaves_no_job(scene: Scene) -> None:
    async def doomed() -> None:
        async with scene.pool.transaction() as connection:
            await scene.engine.enqueue([new_job("quick", 1)])
            await scene.engine.enqueue([new_job("quick", 2)], connection=connection)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await doomed()
    assert await scene.engine.counts() == []
    async with scene.pool.transaction():
        await scene.engine.enqueue([new_job("quick", 3)])
        async with scene.worker("eager"):
            await asyncio.sleep(0.5)
            assert await scene.effects() == []
    async with scene.worker("late"):
        await scene.finished()
    assert await scene.effects() == [(3, 1, "late")]


async def test_a_clock_ten_minutes_wrong_changes_nothing(scene: Scene) -> None:
    await scene.engine.enqueue([new_job("slow", n, seconds=2.5) for n in range(4)])
    await scene.engine.enqueue([new_job("quick", 10, delay=timedelta(seconds=3))])
    async with (
        scene.worker("fast", skew_seconds=600, concurrency=2, lease=5.0) as fast,
        scene.worker("slow", skew_seconds=-600, concurrency=2, lease=5.0) as slow,
    ):
        await scene.begun(4)
        assert 10 not in [n for n, _, _ in await scene.effects()]
        await scene.finished()
        assert not {"lease lost", "job rescued"} & {*fast.events(), *slow.events()}
        moments = {worker.log()[0]["timestamp"][:15] for worker in (fast, slow)}
        assert len(moments) == 2, "the clocks were not skewed"
    assert [(n, attempt) for n, attempt, _ in await scene.effects()] == [(0, 1), (1, 1), (2, 1), (3, 1), (10, 1)]


async def test_sigterm_finishes_what_runs_and_returns_the_rest(scene: Scene) -> None:
    await scene.engine.enqueue([new_job("slow", n, seconds=3.0) for n in range(100)])
    async with scene.worker("leaver", concurrency=20, lease=LONG, grace=60.0) as leaver:
        await scene.begun(20)
        leaver.send(signal.SIGTERM)
        assert await leaver.ended() == 0
    assert len(await scene.effects()) == 20
    (counts,) = await scene.engine.counts()
    assert (counts.ready, counts.running, counts.dead) == (80, 0, 0)
    assert await scene.pool.fetchval("SELECT max(attempt) FROM roadworthy.jobs") == 0


async def test_what_outlasts_the_grace_is_returned_uncounted(scene: Scene) -> None:
    await scene.engine.enqueue([new_job("slow", 1, seconds=60.0)])
    async with scene.worker("leaver", grace=0.2, lease=LONG) as leaver:
        await scene.begun()
        leaver.send(signal.SIGTERM)
        assert await leaver.ended() == 0
    (record,) = await scene.engine.operations.jobs()
    assert (record.state, record.attempt) == ("ready", 0)


async def test_workers_survive_the_loss_of_every_connection(scene: Scene) -> None:
    await scene.engine.enqueue([new_job("slow", n, seconds=0.3) for n in range(40)])
    async with scene.worker("survivor", lease=LONG) as survivor:
        await scene.begun(5)
        await scene.pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE 'roadworthy %'"
        )
        await scene.finished()
        assert survivor.process.returncode is None
    done = await scene.effects()
    assert {n for n, _, _ in done} == set(range(40))
    assert len(done) == len(set(done)), "an attempt ran twice"


@contextmanager
def readable(directory: Path) -> Iterator[Path]:
    """Let the server's own user, which root's server runs as, pass through pytest's directories."""
    for parent in (directory, directory.parent, directory.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o011)
    yield directory / "data"


async def test_a_restart_of_postgresql_loses_nothing_and_runs_no_completed_job_again(tmp_path: Path) -> None:
    with readable(tmp_path) as data:
        postgres = EmbeddedPostgres(data)
        dsn = await postgres.start()
        try:
            await _restart_under_load(postgres, dsn, tmp_path)
        finally:
            await postgres.stop()


async def _restart_under_load(postgres: EmbeddedPostgres, dsn: str, directory: Path) -> None:
    async with await Pool.open(dsn, DatabaseSpec("main", pool=(1, 3))) as pool:
        await create_job_tables(pool)
        await pool.execute(_TABLE)
        engine = PostgresEngine(pool, dsn)
        scene = Scene(dsn, pool, engine, directory)
        ids = await engine.enqueue([new_job("slow", n, seconds=0.05, attempts=20) for n in range(1500)])
        async with scene.worker("survivor", lease=3.0, concurrency=50) as survivor:
            for share in (100, 500):
                await scene.begun(share)
                await postgres.restart()
            await scene.finished()
            assert survivor.process.returncode is None
        await engine.close()
        done = await scene.effects()
        assert {n for n, _, _ in done} == set(range(len(ids)))
        assert len(done) == len(set(done)), "an attempt ran twice"
        assert await engine.counts() == []
