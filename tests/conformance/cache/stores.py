"""The stores under test, each on a server of its own kind, and what can be done to that server."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import pytest

from redis_server import RedisServer, begun
from roadworthy.cache.dictionary import Dictionary, DictStore
from roadworthy.cache.postgres import PostgresStore
from roadworthy.cache.redis import RedisStore
from roadworthy.cache.store import Store
from roadworthy.database import administration, migration
from roadworthy.runtime.scratch import ScratchServer

Kind = Literal["dictionary", "redis", "postgres"]
SHARED = (pytest.param("redis", marks=pytest.mark.needs("redis-server")), "postgres")
"""Those that several processes can share."""
KINDS = ("dictionary", *SHARED)

TIMEOUT = timedelta(seconds=60)

_CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

_EMPTY = """
TRUNCATE roadworthy.cache_entries, roadworthy.cache_tags, roadworthy.cache_locks, roadworthy.cache_epoch;
INSERT INTO roadworthy.cache_epoch (stamp) VALUES (0)
"""


@dataclass(frozen=True, slots=True)
class Backend:
    """An empty server. `open` gives the store of a node, `cut` ends all connections, `stop` ends the server.

    `url` is where another process finds it, `service` who shares it.
    """

    kind: Kind
    url: str
    service: str
    open: Callable[[int], AbstractAsyncContextManager[Store]]
    cut: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]


@asynccontextmanager
async def opened(kind: Kind, url: str, service: str, node: int, timeout: timedelta = TIMEOUT) -> AsyncIterator[Store]:
    """Open the store of a node on a server that processes share."""
    if kind == "redis":
        await begun(url, service)
        async with RedisStore.open(url, service=service, node=node, timeout=timeout) as redis:
            yield redis
    else:
        async with PostgresStore.open(url, service=service, node=node, timeout=timeout) as postgres:
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

    yield Backend("dictionary", "", "", open, cut, stop)


@asynccontextmanager
async def redis_backend(server: RedisServer) -> AsyncIterator[Backend]:
    async def cut() -> None:
        # Both at once, so that neither is back before the other is gone.
        await server.execute("CLIENT", "KILL", "TYPE", "pubsub")
        await server.execute("CLIENT", "KILL", "TYPE", "normal")

    async def stop() -> None:
        server.stop()

    yield _shared("redis", server.url, cut, stop)


@asynccontextmanager
async def postgres_backend(dsn: str, server: ScratchServer) -> AsyncIterator[Backend]:
    await administration.run(dsn, _EMPTY)
    yield postgres_on(dsn, server)


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

    return _shared("postgres", dsn, cut, stop)


def _shared(kind: Kind, url: str, cut: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> Backend:
    service = f"shop-{secrets.token_hex(4)}"
    return Backend(kind, url, service, lambda node: opened(kind, url, service, node), cut, stop)
