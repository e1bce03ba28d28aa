"""Caches of a service on a real database: its transactions, its store, its health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from roadworthy import Cache, Database, DeclarationError, Service, from_thread, minutes, testing
from roadworthy.bridge import BRIDGE, Bridge
from roadworthy.cache.breaker import Breaker
from roadworthy.cache.postgres import PostgresStore
from roadworthy.http.checks import service_checks
from roadworthy.runtime.lifecycle import opened


class Shop:
    """A service with one number in its database, and a cached look at it."""

    def __init__(self) -> None:
        self.service = Service("shop")
        self.database: Database = self.service.database()
        self.cache: Cache = self.service.cache("stock", ttl=minutes(5))
        self.looks = 0

        @self.cache.cached(key="{id}", tags=["product:{id}"])
        async def stock(id: int) -> int:
            self.looks += 1
            found: int = await self.database.fetchval("SELECT stock FROM products WHERE id = $1", id)
            return found

        @self.cache.cached(key="{id}", tags=["product:{id}"])
        def plain_stock(id: int) -> int:
            found: int = from_thread(self.database.fetchval("SELECT stock FROM products WHERE id = $1", id))
            return found

        self.stock = stock
        self.plain_stock = plain_stock

    async def create(self) -> None:
        await self.database.execute("CREATE TABLE products (id int PRIMARY KEY, stock int)")
        await self.database.execute("INSERT INTO products VALUES (1, 10)")

    async def sell(self) -> None:
        await self.database.execute("UPDATE products SET stock = stock - 1")
        await self.cache.invalidate("product:1")


@asynccontextmanager
async def two_processes() -> AsyncIterator[tuple[Shop, Shop]]:
    one, other = Shop(), Shop()
    async with (
        testing.database(one.service) as dsn,
        opened(one.service.spec, dsn) as first,
        opened(other.service.spec, dsn) as second,
        one.service.bind(first),
        other.service.bind(second),
    ):
        await one.create()
        yield one, other


async def test_a_transaction_sees_its_own_changes_and_others_see_them_when_it_commits() -> None:
    shop = Shop()
    async with testing.running(shop.service):
        await shop.create()
        assert await shop.stock(1) == 10
        with pytest.raises(LookupError):
            async with shop.database.transaction():
                await shop.sell()
                assert await shop.stock(1) == 9
                raise LookupError
        assert await shop.stock(1) == 10
        async with shop.database.transaction():
            await shop.sell()
            assert await shop.stock(1) == 9
        assert await shop.stock(1) == 9
        looks = shop.looks
        assert await shop.stock(1) == 9
        assert shop.looks == looks


async def test_a_reader_beside_a_transaction_cannot_keep_what_was_there_before() -> None:
    shop = Shop()
    async with testing.running(shop.service):
        await shop.create()
        began, ended = asyncio.Event(), asyncio.Event()

        async def sell() -> None:
            async with shop.database.transaction():
                await shop.sell()
                began.set()
                await ended.wait()

        selling = asyncio.create_task(sell())
        await began.wait()
        assert await shop.stock(1) == 10
        ended.set()
        await selling
        assert await shop.stock(1) == 9


async def test_a_transaction_in_a_thread_counts_as_well() -> None:
    shop = Shop()

    def sell() -> tuple[int, int]:
        before = shop.plain_stock(1)
        with from_thread(shop.database.transaction()):
            from_thread(shop.sell())
            return before, shop.plain_stock(1)

    async with testing.running(shop.service):
        BRIDGE.set(Bridge(asyncio.get_running_loop()))
        await shop.create()
        assert await asyncio.to_thread(sell) == (10, 9)
        assert await asyncio.to_thread(shop.plain_stock, 1) == 9


async def test_processes_share_their_caches_through_the_database() -> None:
    async with two_processes() as (one, other):
        assert one.service.binding("test").caches is not None
        guard = one.cache.open.tiers.node.store
        assert isinstance(guard, Breaker)
        assert isinstance(guard._store, PostgresStore)
        assert await one.stock(1) == 10
        assert await other.stock(1) == 10
        assert other.looks == 0
        async with one.database.transaction():
            await one.sell()
            assert await other.stock(1) == 10
        async with asyncio.timeout(60):
            while await other.stock(1) != 9:
                await asyncio.sleep(0.005)
        assert await one.stock(1) == 9
        async with one.service.lock("count"):
            assert not await one.cache.open.tiers.node.store.acquire("shop::count", "another", 1)


async def test_health_tells_of_the_store_and_the_hits() -> None:
    async with two_processes() as (one, _):
        await one.stock(1)
        await one.stock(1)
        (check,) = (
            check
            for check in service_checks(one.service.spec, lambda: one.service.binding("health"))
            if check.name == "caches"
        )
        assert not check.critical
        ratio, store = await check.run()
        assert (ratio.name, ratio.status, ratio.value) == ("stock:hitRatio", "pass", 0.5)
        assert (store.name, store.status) == ("caches:store", "pass")
        await one.cache.open.tiers.node.store.close()
        _, store = await check.run()
        assert store.status == "warn"
        assert "does not answer" in (store.output or "")


async def test_a_lock_that_no_other_process_would_see_is_refused() -> None:
    service = Service("lonely")
    service.database()
    service.cache("own", ttl=minutes(1), tiers=("memory",))
    async with testing.running(service):
        with pytest.raises(DeclarationError, match=r"'index' would hold within one process alone.*declare a cache"):
            async with service.lock("index"):
                raise AssertionError("it was taken")
