"""What becomes of a running service when its processes, its PostgreSQL or its supervisor are killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path

import psutil

from launching import TARGET, Launched, gone, launched, until
from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec

READY_SOON = 60.0


async def jobs_done(run: Launched, at_least: float) -> None:
    async def done() -> bool:
        # What a job has counted is there before its end is written down.
        return await run.metric("done_total") >= at_least and await run.metric("jobs_finished_total") >= at_least

    await until(done, f"{at_least} jobs done")


async def jobs_running(run: Launched, count: int) -> None:
    async def running() -> bool:
        return bool((await run.health())["checks"]["work:running"][0]["observedValue"] == count)

    await until(running, f"{count} jobs under way")


async def test_a_killed_process_is_started_again_and_what_it_counted_stays(tmp_path: Path, dsn: str) -> None:
    async with launched(tmp_path, "run", TARGET, environ={"DATABASE_URL": dsn}) as run:
        for _ in range(5):
            await run.get("/")
        await run.get("/enqueue/wait/0")
        await jobs_done(run, 1)
        before = await run.status("worker-work-1")
        psutil.Process(before["pid"]).kill()
        await until(lambda: run.is_ready_again("worker-work-1", 1), "the worker is back")
        assert (await run.status("worker-work-1"))["pid"] != before["pid"]
        await run.get("/enqueue/wait/0")
        await jobs_done(run, 2)

        web = int(await run.get("/"))
        assert await run.metric("visits_total") == 8
        psutil.Process(web).kill()
        await until(lambda: run.is_ready_again("web-1", 1), "the web process is back")
        assert int(await run.get("/")) != web
        assert await run.metric("visits_total") == 9
        assert (await run.health())["status"] == "pass"
        run.process.send_signal(signal.SIGTERM)
        assert await run.ended() == 0


async def test_sigterm_to_one_process_replaces_it(tmp_path: Path, dsn: str) -> None:
    async with launched(tmp_path, "run", TARGET, environ={"DATABASE_URL": dsn}) as run:
        web = int(await run.get("/"))
        psutil.Process(web).terminate()
        await until(lambda: run.is_ready_again("web-1", 1), "the web process is back")
        assert int(await run.get("/")) != web


async def test_nothing_outlives_a_killed_supervisor_and_a_new_one_takes_over(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    async with launched(tmp_path, "run", TARGET) as run:
        await run.get("/enqueue/wait/0")
        await jobs_done(run, 1)
        # A worker whose event loop is stuck must go, too.
        await run.get("/enqueue/block/600")
        await jobs_running(run, 1)
        await run.get("/enqueue/wait/0")
        environ = {"ROADWORTHY_PORT": (await run.site()).rsplit(":", 1)[1]}
        tree = run.tree()
        assert sum(one.name() == "postgres" for one in tree) > 1
        run.process.send_signal(signal.SIGKILL)
        await gone(tree)
    async with launched(tmp_path, "run", TARGET, environ=environ) as run:
        await run.said("^ready")
        await jobs_done(run, 1)


async def test_the_whole_tree_is_killed_and_started_again(tmp_path: Path) -> None:
    async with launched(tmp_path, "run", TARGET) as run:
        await run.get("/enqueue/wait/0.2")
        tree = run.tree()
        for one in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        await gone(tree)
    async with launched(tmp_path, "run", TARGET) as run:
        await run.said("^ready")
        await run.get("/enqueue/wait/0")
        await jobs_done(run, 1)
        run.process.send_signal(signal.SIGTERM)
        assert await run.ended() == 0


async def test_a_killed_postgresql_comes_back_under_running_processes(tmp_path: Path) -> None:
    async with launched(tmp_path, "run", TARGET) as run:
        await run.said("^ready")
        web, worker = await run.status("web-1"), await run.status("worker-work-1")
        postmaster = next(one for one in psutil.Process(run.process.pid).children() if one.name() == "postgres")
        postmaster.kill()
        await gone([postmaster])

        async def enqueued() -> bool:
            return (await run.client.get(await run.site() + "/enqueue/wait/0")).status_code == 200

        await until(enqueued, "the database answers again")
        await jobs_done(run, 1)
        assert (await run.status("web-1"))["pid"] == web["pid"]
        assert (await run.status("worker-work-1"))["pid"] == worker["pid"]
        run.process.send_signal(signal.SIGTERM)
        assert await run.ended() == 0


async def test_one_signal_lets_requests_and_jobs_finish(tmp_path: Path) -> None:
    async with launched(tmp_path, "run", TARGET) as run:
        await run.get("/enqueue/wait/6")
        request = asyncio.create_task(run.get("/wait/6"))
        await jobs_running(run, 1)
        await until(lambda: counted(run, "http_requests_in_progress", 1), "the request is under way")
        tree = run.tree()
        run.process.send_signal(signal.SIGTERM)
        assert int(await request) > 0
        assert await run.ended() == 0
        await gone(tree)
        assert run.lines[-1] == "stopped"
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert not [line for line in log if line["level"] == "error"]
    async with launched(tmp_path, "run", TARGET) as run:
        await run.said("^ready")
        assert (await run.health())["checks"]["work:ready"][0]["observedValue"] == 0


async def counted(run: Launched, series: str, value: float) -> bool:
    return await run.metric(series) == value


async def test_a_second_signal_stops_at_once(tmp_path: Path, dsn: str) -> None:
    environ = {"DATABASE_URL": dsn, "ROADWORTHY_DRAIN_SECONDS": "600"}
    async with launched(tmp_path, "run", TARGET, environ=environ) as run:
        await run.get("/enqueue/wait/500")
        await jobs_running(run, 1)
        tree = run.tree()
        run.process.send_signal(signal.SIGINT)
        await run.said("^stopping: up to 600 s")
        run.process.send_signal(signal.SIGINT)
        assert await run.ended() == 1
        await gone(tree)


async def test_what_does_not_end_within_the_grace_is_killed(tmp_path: Path, dsn: str) -> None:
    environ = {"DATABASE_URL": dsn, "ROADWORTHY_DRAIN_SECONDS": "1"}
    async with launched(tmp_path, "run", TARGET, environ=environ) as run:
        await run.get("/enqueue/block/600")
        await jobs_running(run, 1)
        tree = run.tree()
        run.process.send_signal(signal.SIGTERM)
        assert await run.ended() == 1
        await gone(tree)
        assert run.lines[-1] == "stopped, with work cut short"


async def test_a_process_that_cannot_start_is_reported_and_does_not_spin(tmp_path: Path, dsn: str) -> None:
    environ = {"DATABASE_URL": dsn, "TENANT_FAILS_IN": "worker"}
    async with launched(tmp_path, "run", TARGET, environ=environ) as run:
        await run.get("/")

        async def failed_twice() -> bool:
            status = await run.status("worker-work-1")
            return bool(status["restarts"] >= 2 and status["state"] == "waiting")

        await until(failed_twice, "two failures")
        assert "no licence for this role" in (await run.status("worker-work-1"))["output"]
        assert (await run.health())["status"] == "warn"
        run.process.send_signal(signal.SIGTERM)
        assert await run.ended() == 0
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    ends = [line for line in log if line["event"] == "process ended"]
    assert all("no licence" in line["reason"] for line in ends)
    assert [line["wait"] for line in ends] == sorted(line["wait"] for line in ends)


async def test_a_worker_that_hangs_fails_the_health_and_is_replaced(tmp_path: Path, dsn: str) -> None:
    environ = {"DATABASE_URL": dsn, "ROADWORTHY_HUNG_SECONDS": "7"}
    async with launched(tmp_path, "run", TARGET, environ=environ) as run:
        await run.said("^ready")
        worker = psutil.Process((await run.status("worker-work-1"))["pid"])
        worker.suspend()

        async def told() -> bool:
            return "has said nothing for" in ((await run.status("worker-work-1"))["output"] or "")

        await until(told, "the health report tells of the silence")
        assert (await run.health())["status"] == "fail"
        await until(lambda: run.is_ready_again("worker-work-1", 1), "the hung worker is replaced")
        await gone([worker])

        # One whose event loop is blocked hangs no less.
        await run.get("/enqueue/block/600")
        await until(lambda: run.is_ready_again("worker-work-1", 2), "the blocked worker is replaced")


async def test_a_worker_whose_claims_get_no_answer_fails_the_health_until_they_do(tmp_path: Path, dsn: str) -> None:
    async with (
        launched(tmp_path, "run", TARGET, environ={"DATABASE_URL": dsn}) as run,
        await Pool.open(dsn, DatabaseSpec("main", pool=(1, 1))) as pool,
    ):
        await run.said("^ready")
        async with pool.transaction() as connection:
            await connection.execute("LOCK TABLE roadworthy.jobs IN ACCESS EXCLUSIVE MODE")

            async def stalled() -> bool:
                return bool((await run.status("worker-work-1"))["state"] == "stalled")

            await until(stalled, "the worker is found to take no jobs")
            report = await run.health()
            assert report["status"] == "fail"
            assert report["checks"]["process:worker-work-1"][0]["status"] == "fail"
            consumed_at = await run.metric("worker_heartbeat_timestamp_seconds")
            await asyncio.sleep(2)
            assert await run.metric("worker_heartbeat_timestamp_seconds") == consumed_at

        async def well() -> bool:
            return (await run.health())["status"] == "pass" and (
                await run.metric("worker_heartbeat_timestamp_seconds") > consumed_at
            )

        await until(well, "all is well again")
        assert (await run.status("worker-work-1"))["restarts"] == 0
