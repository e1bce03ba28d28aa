"""The embedded PostgreSQL when things are killed: nothing runs on, nothing is lost, and the next start comes up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from roadworthy.database import driver
from roadworthy.errors import AlreadyRunning, DatabaseUnavailable
from roadworthy.runtime import postmaster
from roadworthy.runtime.embedded import EmbeddedPostgres

OWNER = """
    import asyncio, sys
    from pathlib import Path
    from roadworthy.database import driver
    from roadworthy.runtime.embedded import EmbeddedPostgres

    async def main():
        server = EmbeddedPostgres(Path(sys.argv[1]))
        connection = await driver.connect(await server.start())
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
        await connection.execute("INSERT INTO kept VALUES (1)")
        server.publish("http://127.0.0.1:8000")
        print("ready", flush=True)
        await asyncio.sleep(600)

    asyncio.run(main())
"""
LIMIT = timedelta(seconds=60)


async def gone(data: Path) -> None:
    """Wait until nothing of the server in `data` runs any more."""
    async with asyncio.timeout(LIMIT.total_seconds()):
        while postmaster.leftovers(data):
            await asyncio.sleep(0.05)


async def ask(dsn: str, sql: str) -> object:
    connection = await driver.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await driver.close(connection)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data" / "postgres"


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns a running server and has committed a row."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(tmp_path / "data")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait(LIMIT.total_seconds())
        process.stdout.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    created = EmbeddedPostgres(tmp_path / "data")
    yield created
    await created.stop(grace=timedelta(seconds=5))


async def test_the_server_dies_with_a_killed_owner_and_its_data_is_kept(
    owner: subprocess.Popen[str], data: Path, server: EmbeddedPostgres
) -> None:
    assert postmaster.leftovers(data)
    owner.kill()
    owner.wait(LIMIT.total_seconds())
    await gone(data)
    assert await ask(await server.start(), "SELECT count(*) FROM kept") == 1


async def test_a_start_right_after_the_kill_waits_for_the_old_server(
    owner: subprocess.Popen[str], server: EmbeddedPostgres
) -> None:
    owner.kill()
    owner.wait(LIMIT.total_seconds())
    assert await ask(await server.start(), "SELECT count(*) FROM kept") == 1


async def test_after_a_kill_of_everything_at_once_it_comes_back(
    owner: subprocess.Popen[str], data: Path, server: EmbeddedPostgres
) -> None:
    everything = [psutil.Process(owner.pid), *psutil.Process(owner.pid).children(recursive=True)]
    for process in everything:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    owner.wait(LIMIT.total_seconds())
    assert (data / "postmaster.pid").exists()
    assert await ask(await server.start(), "SELECT count(*) FROM kept") == 1


async def test_a_frozen_server_of_a_killed_owner_is_ended_by_the_next_start(
    owner: subprocess.Popen[str], data: Path, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roadworthy.runtime.embedded._QUIT_SECONDS", 0.5)
    frozen = postmaster.leftovers(data)
    postmaster.kill(frozen, signal.SIGSTOP)
    owner.kill()
    owner.wait(LIMIT.total_seconds())
    assert await ask(await server.start(), "SELECT count(*) FROM kept") == 1
    assert not set(frozen) & set(postmaster.leftovers(data))


async def test_a_second_owner_is_refused_while_the_first_lives(
    owner: subprocess.Popen[str], server: EmbeddedPostgres, data: Path
) -> None:
    before = postmaster.leftovers(data)
    with pytest.raises(AlreadyRunning, match=rf"process {owner.pid} at http://127\.0\.0\.1:8000"):
        await server.start()
    assert set(before) & set(postmaster.leftovers(data))


async def test_a_killed_postmaster_is_noticed_and_restarted(server: EmbeddedPostgres, data: Path) -> None:
    dsn = await server.start()
    await ask(dsn, "CREATE TABLE kept AS SELECT 7 AS answer")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    async with asyncio.timeout(LIMIT.total_seconds()):
        assert await server.wait() == -signal.SIGKILL
    with pytest.raises(DatabaseUnavailable):
        await server.check()
    assert await ask(await server.restart(), "SELECT answer FROM kept") == 7
    await server.stop()
    await gone(data)


async def test_a_start_that_is_cancelled_leaves_nothing(server: EmbeddedPostgres, data: Path) -> None:
    for delay in (0.05, 0.5, 0.9):
        starting = asyncio.create_task(server.start())
        await asyncio.sleep(delay)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
            await server.stop()
        await gone(data)
        assert server.pid is None
    assert await ask(await server.start(), "SELECT 1") == 1


async def test_a_stop_with_a_busy_client_is_bounded(server: EmbeddedPostgres, data: Path) -> None:
    dsn = await server.start()
    connection = await driver.connect(dsn)
    sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
    await asyncio.sleep(0.1)
    await server.stop(grace=timedelta(seconds=10))
    with pytest.raises(driver.LOST):
        await sleeping
    assert postmaster.leftovers(data) == []


async def test_a_frozen_server_is_stopped_by_force(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.runtime.embedded._QUIT_SECONDS", 0.3)
    await server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    await server.stop(grace=timedelta(seconds=0.1))
    assert server.pid is None


async def test_a_stop_that_is_cancelled_still_ends_the_server(server: EmbeddedPostgres, data: Path) -> None:
    await server.start()
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert server.pid is None
    await gone(data)
