"""Cached functions, async ones and plain ones in threads, and what leads a call straight to its entry."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from roadworthy import Cache, DeclarationError, InvalidKey, NotRunning, Service, WrongThread, minutes
from roadworthy.binding import Binding
from roadworthy.bridge import BRIDGE, Bridge
from roadworthy.cache import metrics
from roadworthy.cache.caches import Caches
from roadworthy.cache.node import Node
from roadworthy.telemetry.registry import MetricRegistry


class Transactions:
    """A database's transactions, as far as a cache knows them."""

    def __init__(self) -> None:
        self.open = False
        self.waiting: list[Callable[[], Awaitable[object]]] = []

    def current(self) -> object | None:
        return self if self.open else None

    def after_commit(self, call: Callable[[], Awaitable[object]]) -> None:
        self.waiting.append(call)

    async def commit(self) -> None:
        self.open = False
        for call in self.waiting:
            await call()
        self.waiting.clear()

    def roll_back(self) -> None:
        self.open = False
        self.waiting.clear()


class Shop:
    def __init__(self, **options: Any) -> None:
        self.service = Service("shop")
        self.cache: Cache = self.service.cache("pages", **({"ttl": minutes(5), "early": 0.0} | options))
        self.transactions = Transactions()
        self.registry = MetricRegistry(metrics.CATALOGUE)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Cache]:
        nothing = cast(Any, None)
        async with (
            Caches.open("shop", self.service.spec.caches, Node(None), self.transactions) as caches,
            self.service.bind(Binding(nothing, nothing, self.registry, caches=caches)),
        ):
            metrics.track(self.registry, caches)
            BRIDGE.set(Bridge(asyncio.get_running_loop()))
            yield self.cache

    def lookups(self, tier: str, outcome: str) -> float | None:
        labels = {"cache": "pages", "tier": tier, "outcome": outcome}
        return self.registry.value("cache_lookups_total", labels)


async def test_calls_that_look_alike_are_kept_apart() -> None:
    shop = Shop()

    @shop.cache.cached()
    async def kind(value: object) -> str:
        return type(value).__name__

    async with shop.running():
        for _ in range(3):
            for value in (1, True, "1", 1.0, None, "None", (1,), (True,), [1], b"1"):
                assert await kind(value) == type(value).__name__
                assert await kind(value=value) == type(value).__name__


async def test_a_hit_is_counted_wherever_it_is_had() -> None:
    shop = Shop()

    @shop.cache.cached(key="{n}")
    async def double(n: int, unused: int = 0) -> int:
        return 2 * n

    async with shop.running() as cache:
        for _ in range(5):
            assert await double(1) == 2
        assert shop.lookups("memory", "hit") == 4
        assert shop.lookups("memory", "miss") == 1
        assert shop.lookups("source", "loaded") == 1
        assert shop.registry.value("cache_factory_seconds_count", {"cache": "pages"}) == 1
        assert shop.registry.value("cache_entries", {"cache": "pages"}) == 1
        for n in range(20):
            assert await double(1, n) == 2
        assert cache.statistics().hits == 24
        assert cache.statistics().misses == 1
        assert cache.statistics().hit_ratio == 24 / 25
        await cache.clear()
        assert shop.registry.value("cache_invalidations_total", {"cache": "pages"}) == 1
        assert shop.registry.value("cache_entries", {"cache": "pages"}) == 0


async def test_no_call_leads_to_what_is_no_longer_kept() -> None:
    shop = Shop(entries=3)
    calls: list[int] = []

    @shop.cache.cached(tags=["n:{n}"])
    async def page(n: int) -> int:
        calls.append(n)
        return n

    async with shop.running() as cache:
        for n in range(50):
            await page(n)
            await page(n)
        assert len(calls) == 50
        local = cache.open.tiers.local
        assert local is not None
        assert len(local.memory) <= 3
        kept = [entry for entry in local.memory.held.values() if entry.aliases]
        assert len(kept) <= 3
        await page(49)
        await cache.invalidate("n:49")
        await page(49)
        assert calls.count(49) == 2
        await cache.delete(page.key(49))
        await page(49)
        assert calls.count(49) == 3
    with pytest.raises(NotRunning, match="cache 'pages'"):
        await page(49)


async def test_a_plain_function_waits_in_its_thread_and_runs_in_one() -> None:
    shop = Shop()
    threads: set[str] = set()
    go = threading.Event()

    @shop.cache.cached(key="{n}", tags=["n:{n}"])
    def page(n: int) -> dict[str, int]:
        threads.add(threading.current_thread().name)
        assert go.wait(20)
        if n < 0:
            raise LookupError("no such page")
        return {"n": n}

    async with shop.running() as cache:
        callers = [asyncio.create_task(asyncio.to_thread(page, 1)) for _ in range(3)]
        await asyncio.sleep(0.05)
        go.set()
        assert await asyncio.gather(*callers) == [{"n": 1}] * 3
        assert threads == {"cache source"}
        (await asyncio.to_thread(page, 1)).clear()
        assert await asyncio.to_thread(page, 1) == {"n": 1}
        assert cache.statistics().loaded == 1
        assert cache.statistics().hits >= 2
        assert await asyncio.to_thread(page.refresh, 1) == {"n": 1}
        await asyncio.to_thread(page.invalidate, 1)
        assert await cache.get(page.key(1)) is None
        with pytest.raises(LookupError, match="no such page"):
            await asyncio.to_thread(page, -1)
        assert await asyncio.to_thread(page.warm, [(2,), {"n": 3}, (-1,)]) == 1
        assert await cache.get(page.key(3)) == {"n": 3}
        with pytest.raises(WrongThread, match="on the event loop"):
            page(2)
        assert page.uncached(5) == {"n": 5}


async def test_what_a_transaction_changes_counts_here_at_once_and_lasts_when_it_commits() -> None:
    shop = Shop()
    calls = 0

    @shop.cache.cached(key="{n}", tags=["n"])
    async def page(n: int) -> int:
        nonlocal calls
        calls += 1
        return calls

    async with shop.running() as cache:
        for change in (lambda: cache.invalidate("n"), lambda: cache.delete(page.key(1)), lambda: cache.clear()):
            before = await page(1)
            shop.transactions.open = True
            assert await page(1) == before
            await change()
            # What is read in a transaction may never be committed: nothing of it is kept.
            assert await page(1) == before + 1
            assert await page(1) == before + 2
            shop.transactions.open = False
            # Another reader still sees what was there before, and keeps it until the commit.
            assert await page(1) == before + 3
            assert await page(1) == before + 3
            shop.transactions.open = True
            await shop.transactions.commit()
            assert await page(1) == before + 4


async def test_what_is_set_in_a_transaction_is_there_when_it_commits_and_never_else() -> None:
    shop = Shop()
    async with shop.running() as cache:
        await cache.set("page", "old")
        shop.transactions.open = True
        await cache.set("page", "new")
        assert await cache.get("page") is None
        shop.transactions.roll_back()
        assert await cache.get("page") is None
        await cache.set("page", "old")
        shop.transactions.open = True
        await cache.set("page", "new")
        await shop.transactions.commit()
        assert await cache.get("page") == "new"


async def test_a_refresh_in_a_transaction_keeps_nothing() -> None:
    shop = Shop()
    calls = 0

    @shop.cache.cached(key="{n}")
    async def page(n: int) -> int:
        nonlocal calls
        calls += 1
        return calls

    async def batch(keys: list[str]) -> dict[str, int]:
        return dict.fromkeys(keys, 7)

    async with shop.running() as cache:
        assert await page(1) == 1
        shop.transactions.open = True
        assert await page.refresh(1) == 2
        assert await cache.get_or_set_many(["a"], batch) == {"a": 7}
        assert await cache.get_or_set("b", lambda: asyncio.sleep(0, "b")) == "b"
        await shop.transactions.commit()
        assert await cache.get_many(["a", "b"]) == {}
        assert await page(1) == 3


async def test_a_source_may_ask_for_another_cached_value() -> None:
    shop = Shop()

    @shop.cache.cached()
    def inner(n: int) -> int:
        return n

    @shop.cache.cached()
    def outer(n: int) -> int:
        return inner(n) + 1

    async with shop.running():
        assert await asyncio.gather(*(asyncio.to_thread(outer, n) for n in range(20))) == list(range(1, 21))


def test_what_cannot_work_is_refused_when_declared() -> None:
    shop = Shop()

    @shop.cache.cached()
    async def page(n: int) -> int:
        return n

    for wrong, reason in (
        ({"key": "{other}"}, "no parameter 'other'"),
        ({"tags": ["{other}"]}, "no parameter 'other'"),
        ({"tags": "n"}, "write a list"),
    ):

        async def other(n: int) -> int:
            return n

        with pytest.raises(DeclarationError, match=reason):
            Shop().cache.cached(**cast(Any, wrong))(other)

    def numbers() -> Any:
        yield 1

    with pytest.raises(DeclarationError, match="generator"):
        shop.cache.cached()(numbers)

    async def page_again(n: int) -> int:
        return n

    page_again.__name__ = "page"
    with pytest.raises(DeclarationError, match="has a function 'page' already"):
        shop.cache.cached()(page_again)
    with pytest.raises(ValueError, match="not within the ttl"):
        shop.cache.cached(ttl=minutes(6))


async def test_what_is_asked_for_wrongly_is_refused() -> None:
    shop = Shop()
    async with shop.running() as cache:
        with pytest.raises(InvalidKey, match="is no text"):
            await cache.get("")
        with pytest.raises(InvalidKey, match="is one text"):
            await cache.set("a", 1, tags="site")
        with pytest.raises(InvalidKey, match="too long"):
            await cache.get_or_set_many(["x" * 300], lambda keys: asyncio.sleep(0, {}))
        await cache.set("x" * 300, 1)
        assert await cache.get("x" * 300) == 1
        assert await cache.get_many(["x" * 300, "other"]) == {"x" * 300: 1}
        await cache.invalidate()
        with pytest.raises(ValueError, match="not within the ttl"):
            await cache.set("a", 1, ttl=minutes(6))
