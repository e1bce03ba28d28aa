"""The PostgreSQL and the Redis that all queues of a run share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.database import administration, driver
from roadworthy.runtime.embedded import EmbeddedPostgres

_BENCH = "bench"


@dataclass(frozen=True, slots=True)
class Database:
    """The PostgreSQL of a run; each pass has a database of its own in it."""

    postgres: EmbeddedPostgres

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self.postgres.pid is not None
        return self.postgres.pid

    @asynccontextmanager
    async def fresh(self, template: str | None = None) -> AsyncIterator[str]:
        """Make an empty database, or a copy of `template`, and drop it at the end; yield its URL."""
        await self.drop(_BENCH)
        await self.copy(template, _BENCH)
        try:
            yield self.postgres.dsn_of(_BENCH)
        finally:
            await self.drop(_BENCH)

    async def copy(self, template: str | None, name: str) -> None:
        """Make the database `name`. What was written is on disk before it returns, so that no pass pays for it."""
        of = "" if template is None else f" TEMPLATE {template} STRATEGY file_copy"
        await self.run("postgres", f"CREATE DATABASE {name}{of}")
        await self.run("postgres", "CHECKPOINT")
        await asyncio.to_thread(os.sync)

    async def drop(self, name: str) -> None:
        """Drop a database and end whoever uses it."""
        await administration.drop_database(self.postgres.dsn_of("postgres"), name)

    async def run(self, database: str, statement: str) -> Any:
        """Run one statement on a connection of its own; return its first value."""
        connection = await driver.connect(self.postgres.dsn_of(database))
        try:
            return await connection.fetchval(statement, timeout=300)
        finally:
            connection.terminate()

    async def written(self) -> int:
        """Return how many bytes of WAL were ever written."""
        return int(await self.run("postgres", "SELECT pg_current_wal_insert_lsn() - '0/0'"))

    async def commits(self) -> int:
        """Return how many transactions of the pass's database committed, as far as its sessions have told."""
        return int(await self.run("postgres", f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{_BENCH}'"))


@dataclass(frozen=True, slots=True)
class Redis:
    """The Redis of a run. It keeps nothing on disk, which is as fast as it gets."""

    pid: int
    url: str
    _port: int

    async def flush(self) -> None:
        """Empty it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"FLUSHALL\r\n")
        async with asyncio.timeout(30):
            await reader.readline()
        writer.close()


def redis_program() -> str | None:
    """Return where redis-server is, None where it isn't."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


@asynccontextmanager
async def redis(program: str, directory: Path) -> AsyncIterator[Redis]:
    """Run a Redis on a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        found = Redis(process.pid, f"redis://127.0.0.1:{port}/0", port)
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    await found.flush()
                    break
                await asyncio.sleep(0.05)
        yield found
    finally:
        process.terminate()
        process.wait(10)
