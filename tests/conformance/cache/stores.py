"""The stores under test, each on a server of its own kind, and what can be done to that server."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from roadworthy.cache.dictionary import Dictionary, DictStore
from roadworthy.cache.postgres import PostgresStore
from roadworthy.cache.redis import RedisStore
from roadworthy.cache.store import Store
from roadworthy.database import administration, migration
from roadworthy.runtime.scratch import ScratchServer

Kind = Literal["dictionary", "redis", "postgres"]
KINDS: tuple[Kind, ...] = ("dictionary", "redis", "postgres")
SHARED: tuple[Kind, ...] = ("redis", "postgres")
"""Those that several processes can share."""

TIMEOUT = timedelta(seconds=5)
SERVICE = "shop"

_CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Backend:
    """An empty server. `open` gives the store of a node, `cut` ends all connections, `stop` ends the server.

    `url` is where another process finds it.
    """

    kind: Kind
    url: str
    open: Callable[[int], AbstractAsyncContextManager[Store]]
    cut: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]


@asynccontextmanager
async def opened(kind: Kind, url: str, node: int, timeout: timedelta = TIMEOUT) -> AsyncIterator[Store]:
    """Open the store of a node on a server that processes share."""
    if kind == "redis":
        async with RedisStore.open(url, service=SERVICE, node=node, timeout=timeout) as redis:
            yield redis
    else:
        async with PostgresStore.open(url, service=SERVICE, node=node, timeout=timeout) as postgres:
            yield postgres


@asynccontextmanager
async def dictionary_backend() -> AsyncIterator[Backend]:
    dictionary = Dictionary()

    @asynccontextmanager
    async def open(node: int) -> AsyncIterator[Store]:
        yield DictStore(dictionary, node=node)

    async def cut() -> None:
        dictionary.interrupt()

    async def stop() -> None:
        dictionary.down = True

    yield Backend("dictionary", "", open, cut, stop)


class RedisServer:
    """A Redis on a free port of the loopback interface that keeps nothing."""

    def __init__(self, directory: Path) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        assert program is not None, "neither redis-server nor valkey-server is installed"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(directory)]
        with (directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, *options, "--save", "", "--appendonly", "no"], stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Wait until it answers."""
        until = time.monotonic() + 30
        while True:
            try:
                self.command("PING")
                return
            except ConnectionError:
                assert time.monotonic() < until, "Redis does not start"
                assert self.process.poll() is None, "Redis ended at its start"
                time.sleep(0.02)

    def command(self, *words: str) -> None:
        """Have it do something that is no test's matter."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall((" ".join(words) + "\r\n").encode())
            connection.recv(1000)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


@contextlib.contextmanager
def redis_server(directory: Path) -> Iterator[RedisServer]:
    server = RedisServer(directory)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def redis_backend(server: RedisServer) -> AsyncIterator[Backend]:
    server.command("FLUSHALL")

    async def cut() -> None:
        # Both at once, so that neither is back before the other is gone.
        server.command("CLIENT", "KILL", "TYPE", "pubsub")
        server.command("CLIENT", "KILL", "TYPE", "normal")

    async def stop() -> None:
        await asyncio.to_thread(server.stop)

    yield Backend("redis", server.url, lambda node: opened("redis", server.url, node), cut, stop)


@asynccontextmanager
async def postgres_backend(server: ScratchServer) -> AsyncIterator[Backend]:
    dsn = await prepared(server)
    try:
        yield postgres_on(dsn, server)
    finally:
        await server.drop_database(dsn)


async def prepared(server: ScratchServer) -> str:
    """Return the DSN of a database with the tables of caches."""
    dsn = await server.create_database()
    await migration.apply(dsn, [migration.load("roadworthy.cache", "roadworthy.cache")])
    return dsn


def postgres_on(dsn: str, server: ScratchServer) -> Backend:
    async def cut() -> None:
        await administration.run(dsn, _CUT)

    async def stop() -> None:
        await server.postgres.stop(grace=timedelta(0))

    return Backend("postgres", dsn, lambda node: opened("postgres", dsn, node), cut, stop)
