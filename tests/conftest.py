"""One throw-away PostgreSQL for each pytest process that asks for it, and a fresh database for each test; one Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from redis_server import RedisServer
from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.runtime.scratch import ScratchServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[ScratchServer]:
    """A PostgreSQL that forgets everything at the end of the session."""
    server = ScratchServer()
    try:
        asyncio.run(server.start())
        yield server
    finally:
        asyncio.run(server.stop())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis that all tests of the session share, each under names of its own; they bear `needs("redis-server")`."""
    server = RedisServer()
    try:
        server.launch()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def dsn(postgres_server: ScratchServer) -> AsyncIterator[str]:
    """The DSN of an empty database of the test's own."""
    async with postgres_server.database() as fresh:
        yield fresh


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """A small pool on the test's own database."""
    async with await Pool.open(dsn, DatabaseSpec("main", pool=(1, 5))) as opened:
        yield opened
