"""Each test once for every store."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import pytest

from roadworthy.limits.quota import Algorithm
from roadworthy.limits.store import Counter, Store
from roadworthy.runtime.scratch import ScratchServer

from .stores import ALL, KINDS, FakeClock, Kind, counter, opened, prepared

Counting = Callable[..., Counter]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture(params=ALL)
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    chosen: Algorithm = request.param
    return chosen


@pytest.fixture(scope="session")
def limits_database(postgres_server: ScratchServer) -> Iterator[str]:
    """A database with the table of limits for all tests; each counts under keys of its own."""
    dsn = asyncio.run(prepared(postgres_server))
    yield dsn
    asyncio.run(postgres_server.drop_database(dsn))


@pytest.fixture
def url(kind: Kind, request: pytest.FixtureRequest) -> str:
    """Where the store's server is; it is started for the first test that asks."""
    if kind == "redis":
        return str(request.getfixturevalue("redis_server").url)
    return str(request.getfixturevalue("limits_database")) if kind == "postgres" else ""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(kind: Kind, url: str, clock: FakeClock) -> AsyncIterator[Store]:
    async with opened(kind, url, clock) as one:
        yield one


@pytest.fixture
def counting() -> Counting:
    """Gives counters that no other test has; the same name is the same counter within one."""
    prefix = uuid4().hex
    numbers = itertools.count()

    def give(rate: str, algorithm: Algorithm = "gcra", burst: int | None = None, *, name: str | None = None) -> Counter:
        return counter(f"{prefix}:{next(numbers) if name is None else name}", rate, algorithm, burst)

    return give
