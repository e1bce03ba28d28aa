"""A store that goes away: callers go on, and what they changed is made up for when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from roadworthy import Cache, minutes, seconds
from roadworthy.cache.dictionary import Dictionary, DictStore
from roadworthy.cache.pending import Invalidation, Pending
from roadworthy.cache.store import Store, Write

from .shops import Quick, held, shop, until
from .stores import Backend


@asynccontextmanager
async def processes(dictionary: Dictionary, count: int = 2, **options: Any) -> AsyncIterator[list[Cache]]:
    @asynccontextmanager
    async def open(node: int) -> AsyncIterator[Store]:
        yield DictStore(dictionary, node=node)

    async def nothing() -> None:
        return

    backend = Backend("dictionary", "", "", open, nothing, nothing)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(shop(backend, n, **options)) for n in range(count)]


async def test_callers_go_on_without_the_store() -> None:
    dictionary = Dictionary()
    load = Quick()
    async with processes(dictionary, 1) as (cache,):
        await cache.set("before", 1, tags=["site"])
        dictionary.down = True
        assert await cache.get("before") == 1
        for _ in range(3):
            assert await cache.get_or_set("page", load, tags=["new"]) == "value"
        assert load.calls == 1
        await cache.invalidate("site")
        assert await cache.get("before") is None
        await cache.delete("page")
        assert await cache.get("page") is None
        await cache.set("page", 2)
        assert await cache.get("page") == 2
        assert cache.statistics().store_errors > 0
        async with cache._service.lock("x") as lease:
            assert lease is not None
    # What a process found down stays usable when it begins that way.
    async with processes(dictionary, 1) as (cache,):
        assert await cache.get_or_set("page", Quick("other")) == "other"
        assert await cache.get("page") == "other"


async def test_what_was_changed_meanwhile_is_written_when_it_is_back() -> None:
    dictionary = Dictionary()
    async with processes(dictionary) as (a, b):
        await a.set_many({"set": "old", "deleted": "old", "newer": "old"})
        await a.set("tagged", "old", tags=["site"])
        assert await b.get_many(["set", "deleted", "newer", "tagged"]) == dict.fromkeys(
            ("set", "deleted", "newer", "tagged"), "old"
        )
        dictionary.down = True
        await a.set("set", "new")
        await a.set("newer", "new")
        await a.delete("deleted")
        await a.invalidate("site")
        # Nobody is told of what was not written.
        assert await b.get("set") == "old"
        await asyncio.sleep(0.005)
        await b.set("newer", "newest")
        dictionary.down = False
        dictionary.interrupt()
        await until(lambda: not a.open.tiers.node.pending and not b.open.tiers.node.pending)
        for cache in (a, b):
            assert await cache.get_many(["set", "deleted", "newer", "tagged"]) == {"set": "new", "newer": "newest"}


async def test_a_process_does_not_read_again_what_it_changed_and_could_not_write() -> None:
    dictionary = Dictionary()
    async with processes(dictionary, 1) as (a,):
        await a.set("page", "old")
        await a.set("tagged", "old", tags=["site"])
        dictionary.down = True
        await a.delete("page")
        await a.invalidate("site")
        dictionary.down = False
        dictionary.interrupt()
        assert await a.get("page") is None
        assert await a.get("tagged") is None


async def test_what_was_loaded_with_unknown_tags_is_looked_at_again() -> None:
    dictionary = Dictionary()
    async with processes(dictionary) as (a, b):
        dictionary.down = True
        assert await a.get_or_set("page", Quick("old"), tags=["site"]) == "old"
        assert await a.get("page") == "old"
        dictionary.down = False
        await b.invalidate("site")
        await until(lambda: not a.open.tiers.node.down)
        assert await a.get("page") is None


@pytest.mark.parametrize("change", [lambda cache: cache.delete("page"), lambda cache: cache.invalidate("site")])
async def test_a_stale_value_outlives_the_store_but_no_invalidation(
    change: Callable[[Cache], Awaitable[None]],
) -> None:
    dictionary = Dictionary()
    async with processes(dictionary, 1, ttl=seconds(0.02), stale=minutes(5)) as (a,):
        await a.set("page", "old", tags=["site"])
        await asyncio.sleep(0.03)
        dictionary.down = True
        assert await a.get("page") == "old"
        await change(a)
        assert await a.get("page") is None
        assert not held(a)


class _Noting(DictStore):
    """A store that remembers what it was told to do."""

    def __init__(self) -> None:
        super().__init__(Dictionary(clock=lambda: 100.0))
        self.done: list[Any] = []

    async def write(self, writes: Any) -> list[bool]:
        self.done += [(write.name, write.stamp) for write in writes]
        return [True for _ in writes]

    async def invalidate(self, tags: Any, *, lifetime: float, stamp: int | None = None) -> int:
        self.done.append((*tags, stamp))
        return stamp or 0


def _write(name: str, stamp: int, lifetime: float = 60) -> Write:
    return Write(name, b"", stamp, lifetime)


async def test_what_waits_is_one_change_per_name_and_is_dropped_past_its_time() -> None:
    pending, store = Pending(), _Noting()
    everything = Invalidation("*", 9, 60)
    pending.write(_write("a", 2), 100, everything)
    pending.write(_write("a", 1), 100, everything)
    pending.write(_write("b", 3, lifetime=1), 100, everything)
    pending.invalidate(Invalidation("t", 4, 60), 100, everything)
    pending.invalidate(Invalidation("t", 3, 60), 100, everything)
    assert len(pending) == 3
    await pending.flush(store, 150)
    assert store.done == [("t", 4), ("a", 2)]
    assert len(pending) == 0


async def test_more_than_can_wait_becomes_one_invalidation_of_everything() -> None:
    pending, store = Pending(most=3), _Noting()
    for n in range(5):
        pending.write(_write(f"{n}", n), 100, Invalidation("*", n, 60))
        pending.invalidate(Invalidation(f"t{n}", n, 60), 100, Invalidation("*", n, 60))
    await pending.flush(store, 101)
    assert ("*", 4) in store.done
    assert [one for one in store.done if not one[0].startswith(("t", "*"))] == [("2", 2), ("3", 3), ("4", 4)]
