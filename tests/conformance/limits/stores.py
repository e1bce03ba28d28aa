"""The stores under test, each on a server of its own kind, with a clock that tests set."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Literal

import pytest

from roadworthy.database import migration
from roadworthy.limits.memory import MemoryStore
from roadworthy.limits.postgres import PostgresStore
from roadworthy.limits.quota import ALGORITHMS, Algorithm, Quota
from roadworthy.limits.redis import RedisStore
from roadworthy.limits.store import Counter, Store
from roadworthy.runtime.scratch import ScratchServer

Kind = Literal["memory", "redis", "postgres"]
SHARED = (pytest.param("redis", marks=pytest.mark.needs("redis-server")), "postgres")
"""Those that several processes can share."""
KINDS = ("memory", *SHARED)
ALL = ALGORITHMS

TIMEOUT = timedelta(seconds=60)
BEGIN = 1_800_000_000.0
"""Unix time at which tests begin: a multiple of a minute, so that windows begin then, too."""
INSTANT = 1e-4
"""Seconds before which a moment is before another, whatever rounding adds."""

STORMED = tuple(Quota.parse("120/minute", algorithm=algorithm) for algorithm in ALGORITHMS)
"""What the processes of a storm take from. None gives much back while it lasts."""
LEASED = Quota.parse("400/minute")


class FakeClock:
    """Unix time in seconds, as a test wants it."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def opened(kind: Kind, url: str, clock: Callable[[], float] | None = None) -> AsyncIterator[Store]:
    """Open a store on the server at `url`, by that server's time unless a clock is given."""
    if kind == "redis":
        async with RedisStore.open(url, name="test", timeout=TIMEOUT, clock=clock) as redis:
            yield redis
    elif kind == "postgres":
        async with PostgresStore.open(url, timeout=TIMEOUT, clock=clock) as postgres:
            yield postgres
    else:
        assert clock is not None
        yield MemoryStore(clock=clock, wall=clock)


async def prepared(server: ScratchServer) -> str:
    """Return the DSN of a database with the table of limits."""
    dsn = await server.create_database()
    await migration.apply(dsn, [migration.load("roadworthy.limits", "roadworthy.limits")])
    return dsn


def counter(name: str, rate: str, algorithm: Algorithm = "gcra", burst: int | None = None) -> Counter:
    """Return a counter of a quota that is written down."""
    return Counter(name, Quota.parse(rate, algorithm=algorithm, burst=burst))
