"""`roadworthy run`, and `serve`, `work` and `schedule`, as real processes."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from pathlib import Path

import httpx
import psutil

from launching import TARGET, Launched, gone, launched, until


async def jobs_done(run: Launched, count: float) -> None:
    async def done() -> bool:
        return await run.metric("done_total") == count

    await until(done, f"{count} jobs done")


async def stopped(run: Launched) -> None:
    tree = run.tree()
    run.process.send_signal(signal.SIGTERM)
    assert await run.ended() == 0, run.lines
    await gone(tree)


async def test_run_tells_each_address_once_it_can_be_used(tmp_path: Path) -> None:
    async with launched(tmp_path, "run", TARGET) as run:
        site = await run.site()
        assert (await run.client.get(f"{site}/readyz")).status_code == 200
        assert run.lines[0].startswith("starting PostgreSQL in ")
        assert re.fullmatch(r"applied \d+ migrations", run.lines[1])
        assert run.lines[-1] == f"ready  {site}  (tenant 1.2.3)"
        for path in ("/livez", "/readyz", "/startupz", "/health"):
            assert (await run.client.get(await run.operations() + path)).status_code == 200
        assert set(await run.status("web-1")) == {"role", "pid", "state", "restarts", "output"}

        async with launched(tmp_path, "run", TARGET) as second:
            assert await second.ended() == 2
        assert f"is in use by process {run.process.pid} at {site}" in (tmp_path / "log").read_text()
        await stopped(run)


async def test_one_scrape_tells_of_every_process(tmp_path: Path, dsn: str) -> None:
    environ = {"DATABASE_URL": dsn}
    async with launched(tmp_path, "run", TARGET, "--web", "2", environ=environ) as run:
        await run.site()
        await until(lambda: run.is_ready_again("web-2", 0), "the second web process")
        processes = set()
        for _ in range(40):
            async with httpx.AsyncClient() as visitor:
                processes.add((await visitor.get(await run.site() + "/")).text)
        await run.get("/enqueue/wait/0")
        await jobs_done(run, 1)
        await until(lambda: counted(run, "visits_total", 41), "every visit is counted, once")
        assert await run.metric('jobs_finished_total{queue="work",job="wait",outcome="succeeded"}') == 1
        for name in ("supervisor", "web-1", "web-2", "worker-work-1", "scheduler"):
            assert await run.metric(f'process_resident_memory_bytes{{process="{name}"}}') > 0
        await stopped(run)


async def test_a_service_without_an_application_runs_its_workers(tmp_path: Path, dsn: str) -> None:
    (tmp_path / "quiet.py").write_text(
        "from roadworthy import Service\nservice = Service('quiet')\nqueue = service.queue('work')\n"
        "@queue.job()\nasync def nothing() -> None: ...\n"
    )
    async with launched(tmp_path, "run", "quiet", environ={"DATABASE_URL": dsn}) as run:
        await run.said(r"^ready  2 processes without a web address  \(quiet 0.0.0\)")
        await stopped(run)


async def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with launched(tmp_path, "run", TARGET, environ={"ROADWORTHY_PORT": str(port)}) as run:
            assert await run.ended() == 2
    assert run.lines == []
    log = (tmp_path / "log").read_text()
    assert f"error: port {port} on 127.0.0.1 is in use" in log
    assert "ROADWORTHY_PORT" in log
    assert not (tmp_path / "data").exists()


async def test_a_signal_while_starting_ends_the_start(tmp_path: Path) -> None:
    async with launched(tmp_path, "run", TARGET) as run:
        await run.said("^starting PostgreSQL")
        tree = run.tree()
        run.process.send_signal(signal.SIGTERM)
        assert await run.ended() == 0
        await gone(tree)
    assert run.lines == [run.lines[0]]


async def test_each_role_runs_alone_on_a_shared_database(tmp_path: Path, dsn: str) -> None:
    environ = {"DATABASE_URL": dsn}
    async with launched(tmp_path, "migrate", TARGET, environ=environ) as migration:
        assert await migration.ended() == 0
    async with (
        launched(tmp_path, "serve", TARGET, environ=environ) as serve,
        launched(tmp_path, "work", TARGET, "--queue", "work", "--concurrency", "2", environ=environ) as work,
        launched(tmp_path, "schedule", TARGET, environ=environ) as schedule,
    ):
        await work.said(r"^ready  working on work  \(tenant 1.2.3\)")
        await schedule.said("^ready  scheduling")
        await serve.get("/enqueue/wait/0")
        await jobs_done(work, 1)
        assert await serve.metric("visits_total") == 1
        assert (await schedule.health())["status"] == "pass"
        for run in (serve, work, schedule):
            await stopped(run)


async def test_a_role_refuses_a_database_that_was_not_migrated(tmp_path: Path, dsn: str) -> None:
    async with launched(tmp_path, "work", TARGET, environ={"DATABASE_URL": dsn}) as work:
        assert await work.ended() == 2
    assert "0001_jobs.sql. Run `roadworthy migrate` first" in (tmp_path / "log").read_text()


async def test_a_second_signal_ends_a_role_at_once(tmp_path: Path, dsn: str) -> None:
    environ = {"DATABASE_URL": dsn, "ROADWORTHY_DRAIN_SECONDS": "600"}
    async with launched(tmp_path, "migrate", TARGET, environ=environ) as migration:
        assert await migration.ended() == 0
    async with launched(tmp_path, "serve", TARGET, environ=environ) as serve:
        await serve.get("/")
        waiting = asyncio.create_task(serve.client.get(await serve.site() + "/wait/500"))
        await until(lambda: counted(serve, "http_requests_in_progress", 1), "the request is under way")
        serve.process.send_signal(signal.SIGTERM)
        await until(lambda: unready(serve), "it is unready")
        serve.process.send_signal(signal.SIGTERM)
        assert await serve.ended() == 1
        waiting.cancel()


async def counted(run: Launched, series: str, value: float) -> bool:
    return await run.metric(series) == value


async def unready(run: Launched) -> bool:
    return (await run.client.get(await run.operations() + "/readyz")).status_code == 503


async def test_roles_need_a_database_that_runs(tmp_path: Path) -> None:
    async with launched(tmp_path, "work", TARGET) as work:
        assert await work.ended() == 2
    assert "DATABASE_URL is not set, and no PostgreSQL runs in" in (tmp_path / "log").read_text()


async def test_a_script_joins_the_database_of_a_running_service(tmp_path: Path) -> None:
    async with launched(tmp_path, "run", TARGET) as run:
        await run.said("^ready")
        async with launched(tmp_path, "jobs", "counts") as counts:
            assert await counts.ended() == 0
        assert counts.lines
        assert psutil.pid_exists(run.process.pid)
        await stopped(run)
    async with launched(tmp_path, "jobs", "counts", "--json") as counts:
        assert await counts.ended() == 0
    assert counts.lines[0] == "{"
