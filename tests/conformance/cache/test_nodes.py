"""Several processes that share a store: one loads, all hear of changes, and none keeps what is out of date."""

from __future__ import annotations

import asyncio
import random

import pytest

from roadworthy import Lease, Lock, LockNotAcquired, minutes, seconds
from roadworthy.cache.store import Store

from .shops import Loading, Quick, held, shop, until
from .stores import Backend

ROUNDS = 60


async def test_four_processes_load_a_cold_key_once(backend: Backend) -> None:
    load = Loading({"n": 1})
    async with shop(backend, 1) as a, shop(backend, 2) as b, shop(backend, 3) as c, shop(backend, 4) as d:
        callers = [asyncio.create_task(one.get_or_set("page", load)) for one in (a, b, c, d) for _ in range(50)]
        await load.began.wait()
        await asyncio.sleep(0.05)
        load.go.set()
        assert await asyncio.gather(*callers) == [{"n": 1}] * 200
        assert load.calls == 1


async def test_what_was_loaded_as_a_process_ends_is_there_for_the_next(backend: Backend) -> None:
    load = Quick()
    async with shop(backend, 1) as a:
        assert await a.get_or_set("page", load) == "value"
    async with shop(backend, 2) as b:
        assert await b.get_or_set("page", load) == "value"
    assert load.calls == 1


async def test_another_process_loads_where_the_first_one_fails(backend: Backend) -> None:
    failing, load = Loading(error=LookupError("no")), Quick()
    async with shop(backend, 1) as a, shop(backend, 2) as b:
        first = asyncio.create_task(a.get_or_set("page", failing))
        await failing.began.wait()
        second = asyncio.create_task(b.get_or_set("page", load))
        await asyncio.sleep(0.05)
        assert load.calls == 0
        failing.go.set()
        assert await second == "value"
        assert str((await asyncio.gather(first, return_exceptions=True))[0]) == "no"


async def test_one_process_refreshes_what_is_stale_for_all(backend: Backend) -> None:
    options = {"ttl": seconds(0.05), "stale": minutes(5)}
    async with shop(backend, 1, **options) as a, shop(backend, 2, **options) as b:
        await a.get_or_set("page", Quick("old"))
        assert await b.get("page") == "old"
        await asyncio.sleep(0.06)
        load = Loading("new")
        assert await a.get_or_set("page", load) == "old"
        await load.began.wait()
        for _ in range(5):
            assert await b.get_or_set("page", load) == "old"
        assert load.calls == 1
        load.go.set()
        await until(lambda: _is(b.get("page"), "new"))


async def test_a_change_reaches_the_memory_of_others(backend: Backend) -> None:
    async with shop(backend, 1) as a, shop(backend, 2) as b:
        for change, value in (
            (lambda: a.set("page", "new"), "new"),
            (lambda: a.delete("page"), None),
            (lambda: a.invalidate("site"), None),
            (lambda: a.clear(), None),
        ):
            await asyncio.sleep(0.005)
            await b.set("page", "old", tags=["site"])
            await until(lambda: _is(a.get("page"), "old"))
            assert await b.get("page") == "old"
            assert held(b)
            await change()
            await until(lambda value=value: _is(b.get("page"), value))


async def test_what_follows_a_set_at_once_ends_it_and_what_it_follows_does_not(backend: Backend) -> None:
    async with shop(backend, 1) as a, shop(backend, 2) as b:
        for n in range(20):
            key = f"page {n}"
            await a.set(key, "old", tags=["site"])
            await (b.invalidate("site") if n % 2 else b.delete(key))
            await until(lambda key=key: _is(a.get(key), None))
            await until(lambda key=key: _is(b.get(key), None))
            await b.set(key, "new", tags=["site"])
            assert await b.get(key) == "new"


async def test_two_processes_that_write_and_read_one_key_agree(backend: Backend) -> None:
    chance = random.Random(7)
    async with shop(backend, 1) as a, shop(backend, 2) as b:
        for n in range(ROUNDS):
            key = f"page {n % 7}"

            async def pause() -> None:
                await asyncio.sleep(chance.choice((0, 0, 0.0005, 0.001)))

            async def write(cache: object, value: str, key: str = key) -> None:
                await pause()
                await cache.set(key, value)

            async def read(cache: object, key: str = key) -> None:
                for _ in range(3):
                    await pause()
                    await cache.get(key)

            await asyncio.gather(write(a, f"a{n}"), write(b, f"b{n}"), read(a), read(b))
        for n in range(7):
            key = f"page {n}"

            async def agree(key: str = key) -> bool:
                values = {str(await a.get(key)), str(await b.get(key))}
                return len(values) == 1

            await until(agree, 2)
            await asyncio.sleep(0.02)
            assert await agree()


async def test_a_fill_that_is_overtaken_by_another_process_is_not_kept(backend: Backend) -> None:
    async with shop(backend, 1) as a, shop(backend, 2) as b:
        for change, value in (
            (lambda: b.set("page", "set"), "set"),
            (lambda: b.delete("page"), None),
            (lambda: b.invalidate("site"), None),
            (lambda: b.clear(), None),
        ):
            load = Loading("old")
            caller = asyncio.create_task(a.get_or_set("page", load, tags=["site"]))
            await load.began.wait()
            await asyncio.sleep(0.005)
            await change()
            load.go.set()
            assert await caller == "old"
            await until(lambda value=value: _is(a.get("page"), value))
            await asyncio.sleep(0.02)
            assert await a.get("page") == value
            assert await b.get("page") == value
            await a.delete("page")
            await asyncio.sleep(0.005)


async def test_a_read_that_is_overtaken_by_a_change_is_not_kept(backend: Backend) -> None:
    async with shop(backend, 1) as a, shop(backend, 2) as b:
        await b.set("page", "old")
        remote = a.open.tiers.remote
        assert remote is not None
        slow = _Slow(remote._store)
        remote._store = slow
        await asyncio.sleep(0.02)
        reader = asyncio.create_task(a.get("page"))
        await slow.has_read.wait()
        await b.set("page", "new")
        newest = held(b)[b.open.name_of("page")].stamp
        await until(lambda: a.open.tiers.knowledge.newest(a.open.name_of("page")) == newest)
        slow.go.set()
        assert await reader in ("old", None)
        assert await a.get("page") == "new"


class _Slow:
    """A store whose answers to `get` take until they may come."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.has_read = asyncio.Event()
        self.go = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def get(self, name: str) -> bytes | None:
        record = await self._store.get(name)
        self.has_read.set()
        await self.go.wait()
        return record


async def test_an_interruption_drops_all_memory(backend: Backend) -> None:
    async with shop(backend, 1) as a, shop(backend, 2, tiers=("memory",)) as b:
        await a.set("page", "value", tags=["site"])
        await b.set("page", "own")
        assert held(a)
        await backend.cut()
        await until(lambda: not held(a))
        await until(lambda: _is(a.get("page"), "value"))
        assert await b.get("page") == "own"


async def test_one_process_at_a_time_holds_a_lock(backend: Backend) -> None:
    inside = 0
    tokens: list[int] = []

    async def use(service: object) -> None:
        nonlocal inside
        async with service.lock("index", wait=seconds(20)) as lease:
            inside += 1
            assert inside == 1
            assert isinstance(lease, Lease)
            tokens.append(lease.token)
            await asyncio.sleep(0.01)
            assert not lease.lost
            inside -= 1

    async with shop(backend, 1) as a, shop(backend, 2) as b:
        await asyncio.gather(*(use(cache._service) for cache in (a, b) for _ in range(3)))
        assert len(set(tokens)) == 6
        shared = a._service.lock("index", wait=seconds(20))
        for _ in range(2):
            await asyncio.gather(*(use(cache._service) for cache in (a, b)), _used(shared), _used(shared))
        async with shared:
            with pytest.raises(RuntimeError, match="wait for itself"):
                await shared.__aenter__()
            for cache in (a, b):
                with pytest.raises(LockNotAcquired, match="'index'"):
                    async with cache._service.lock("index", wait=seconds(0)):
                        raise AssertionError("it was taken twice")


async def test_a_lock_is_renewed_while_it_is_held_and_says_when_it_was_lost(backend: Backend) -> None:
    async with shop(backend, 1) as a, shop(backend, 2) as b:
        async with a._service.lock("index", lease=seconds(1)) as lease:
            await asyncio.sleep(1.5)
            assert not lease.lost
            store = b.open.tiers.node.store
            assert store is not None
            assert not await store.acquire("shop::index", "thief", 60)
        assert await store.acquire("shop::index", "thief", 60)


async def _used(lock: Lock) -> None:
    async with lock:
        await asyncio.sleep(0.005)


async def _is(got: object, wanted: object) -> bool:
    return await got == wanted
