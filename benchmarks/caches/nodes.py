"""Processes that share a cache, two of them in one: for scenarios that need several nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cashews
import redis.asyncio

from benchmarks.queues import servers
from roadworthy import Service, minutes
from roadworthy.handles.cache import Cache
from roadworthy.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Servers:
    """What a scenario runs on: a Redis for it alone, and a PostgreSQL."""

    redis: servers.Redis
    postgres: str
    directory: Path
    client: redis.asyncio.Redis

    @asynccontextmanager
    async def ours(self, count: int = 1) -> AsyncIterator[list[Cache]]:
        """Yield a cache as each of `count` processes has it, in memory and Redis."""
        async with AsyncExitStack() as stack:
            found = []
            for _ in range(count):
                service = Service("failures")
                found.append(service.cache("values", ttl=minutes(10)))
                settings = Settings.load({"DATABASE_URL": self.postgres, "REDIS_URL": self.redis.url})
                await stack.enter_async_context(service.running(settings))
            yield found

    @asynccontextmanager
    async def cashews(self, count: int = 1, **settings: Any) -> AsyncIterator[list[cashews.Cache]]:
        """Yield a cashews cache as each of `count` processes has it."""
        found = []
        try:
            for _ in range(count):
                cache = cashews.Cache()
                cache.setup(self.redis.url, **settings)
                await cache.init()
                found.append(cache)
            yield found
        finally:
            for cache in found:
                await cache.close()


@asynccontextmanager
async def fresh(program: str, postgres: str, directory: Path) -> AsyncIterator[Servers]:
    """Run a Redis for one scenario."""
    async with servers.redis(program, directory) as one:
        client = redis.asyncio.Redis.from_url(one.url, protocol=2)
        try:
            yield Servers(one, postgres, directory, client)
        finally:
            await client.aclose()
