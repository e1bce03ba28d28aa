"""A service whose Redis hangs, dies and comes back: requests go on, and what was ended meanwhile stays ended."""

from __future__ import annotations

import asyncio
import time

import pytest

from redis_server import RedisServer, running
from roadworthy import Cache, Service, minutes, seconds, testing
from roadworthy.runtime.settings import Settings

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT = 0.3


class Shop:
    """A service with a cache, whose source counts how often it is asked."""

    def __init__(self, *tiers: str) -> None:
        self.service = Service("shop")
        self.service.database()
        self.cache: Cache = self.service.cache(
            "prices", ttl=minutes(5), store_timeout=seconds(TIMEOUT), tiers=tiers or ("memory", "shared")
        )
        self.price = 1
        self.asked = 0

    async def load(self) -> int:
        self.asked += 1
        return self.price

    async def get(self, item: str) -> int:
        return await self.cache.get_or_set(item, self.load, tags=["item"])

    async def took(self, item: str) -> float:
        began = time.monotonic()
        assert await self.get(item) == self.price
        return time.monotonic() - began

    async def up(self) -> None:
        async with asyncio.timeout(60):
            while self.cache.open.tiers.node.down or self.cache.open.tiers.node.pending:
                await asyncio.sleep(0.02)


def settings(dsn: str, server: RedisServer) -> Settings:
    return Settings.load({"DATABASE_URL": dsn, "REDIS_URL": server.url})


async def test_while_redis_hangs_requests_wait_for_one_time_out_between_them() -> None:
    shop = Shop("shared")
    async with running() as server, testing.database(shop.service) as dsn, shop.service.running(settings(dsn, server)):
        assert await shop.get("tea") == 1
        assert await shop.get("tea") == 1
        assert shop.asked == 1
        with server.frozen():
            # All of them together, then one after another: none waits for another's time-out.
            first = await asyncio.gather(*(shop.took(f"item {n}") for n in range(50)))
            later = [await shop.took(f"item {n}") for n in range(50, 100)]
            assert shop.asked == 101
        assert max(first) < 30 * TIMEOUT
        assert sum(later) < 30 * TIMEOUT, "fifty callers would have waited for fifty time-outs"
        await shop.up()
        assert await shop.get("tea") == 1
        assert shop.asked == 101


async def test_what_is_ended_while_redis_is_away_is_not_there_when_it_is_back() -> None:
    one, other = Shop(), Shop()
    async with (
        running() as server,
        testing.database(one.service) as dsn,
        one.service.running(settings(dsn, server)),
        other.service.running(settings(dsn, server)),
    ):
        assert await one.get("tea") == await other.get("tea") == 1
        assert (one.asked, other.asked) == (1, 0)
        with server.frozen():
            one.price = other.price = 2
            await one.cache.invalidate("item")
            assert await one.get("tea") == 2
            assert await other.get("tea") == 1, "nobody can tell it"
        await one.up()
        async with asyncio.timeout(60):
            while await other.get("tea") != 2:
                await asyncio.sleep(0.02)
        assert await one.get("tea") == 2


async def test_killed_redis_comes_back_empty_and_is_used_again() -> None:
    shop = Shop()
    async with running() as server, testing.database(shop.service) as dsn, shop.service.running(settings(dsn, server)):
        assert await shop.get("tea") == 1
        server.stop()
        shop.price = 2
        await shop.cache.invalidate("item")
        assert await shop.get("tea") == 2
        await server.start()
        await shop.up()
        shop.price = 3
        await shop.cache.invalidate("item")
        assert await shop.get("tea") == 3
        assert await shop.cache.get("tea") == 3
