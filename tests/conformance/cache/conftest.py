"""Each test once for every store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager

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
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Tiers, and an empty store behind the shared one."""
    tiers, kind = request.param
    chosen: tuple[Tier, ...] = ("memory", "shared") if tiers == "both" else (tiers,)
    if kind is None:
        yield Stage(chosen, None)
        return
    if kind == "redis":
        opening = redis_backend(request.getfixturevalue("redis_server"))
    elif kind == "postgres":
        opening = postgres_backend(
            request.getfixturevalue("prepared_database"), request.getfixturevalue("postgres_server")
        )
    else:
        opening = dictionary_backend()
    async with opening as backend:
        yield Stage(chosen, backend)
