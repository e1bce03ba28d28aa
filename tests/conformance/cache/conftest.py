"""Each test once for every store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest

from roadworthy.cache.spec import Tier
from roadworthy.runtime.scratch import ScratchServer

from .shops import Stage
from .stores import KINDS, Backend, Kind, dictionary_backend, postgres_backend, prepared, redis_backend


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture(scope="session")
def prepared_database(postgres_server: ScratchServer) -> Iterator[str]:
    """A database with the tables of caches for all tests; each finds them empty."""
    dsn = asyncio.run(prepared(postgres_server))
    yield dsn
    asyncio.run(postgres_server.drop_database(dsn))


@pytest.fixture
def fresh(kind: Kind, request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Backend]:
    """What empties the store; a server is started for the first test that asks."""
    if kind == "redis":
        return redis_backend(request.getfixturevalue("redis_server"))
    if kind == "postgres":
        return postgres_backend(
            request.getfixturevalue("prepared_database"), request.getfixturevalue("postgres_server")
        )
    return dictionary_backend()


@pytest.fixture
async def backend(fresh: AbstractAsyncContextManager[Backend]) -> AsyncIterator[Backend]:
    """An empty store."""
    async with fresh as opened:
        yield opened


@pytest.fixture(
    params=[
        ("memory", None),
        ("shared", "dictionary"),
        ("both", "dictionary"),
        pytest.param(("shared", "redis"), marks=pytest.mark.needs("redis-server")),
        pytest.param(("both", "redis"), marks=pytest.mark.needs("redis-server")),
        ("shared", "postgres"),
        ("both", "postgres"),
    ],
    ids=lambda param: "-".join(filter(None, param)),
)
def staged(request: pytest.FixtureRequest) -> tuple[tuple[Tier, ...], AbstractAsyncContextManager[Backend | None]]:
    """Tiers, and what empties the store behind the shared one; a server is started for the first test that asks."""
    tiers, kind = request.param
    chosen: tuple[Tier, ...] = ("memory", "shared") if tiers == "both" else (tiers,)
    if kind == "redis":
        return chosen, redis_backend(request.getfixturevalue("redis_server"))
    if kind == "postgres":
        dsn, server = request.getfixturevalue("prepared_database"), request.getfixturevalue("postgres_server")
        return chosen, postgres_backend(dsn, server)
    return chosen, dictionary_backend() if kind == "dictionary" else nullcontext()


@pytest.fixture
async def stage(
    staged: tuple[tuple[Tier, ...], AbstractAsyncContextManager[Backend | None]],
) -> AsyncIterator[Stage]:
    """Tiers, and an empty store behind the shared one."""
    tiers, opening = staged
    async with opening as backend:
        yield Stage(tiers, backend)
