"""Items that arrive together are kept together, and each caller learns of its own alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from roadworthy import DatabaseUnavailable, seconds
from vitals.webhooks.collector import Collector, Overloaded


class Store:
    """Keeps batches, refuses what is bad, and waits where it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False

    async def __call__(self, items: Sequence[str]) -> None:
        await self.gate.wait()
        if self.away:
            raise DatabaseUnavailable("away")
        if any(item.startswith("bad") for item in items):
            raise ValueError("there is a bad one")
        self.batches.append(list(items))


def collector(store: Store, **options: int | timedelta) -> Collector[str]:
    def transient(error: Exception) -> bool:
        return isinstance(error, DatabaseUnavailable)

    return Collector(store, transient=transient, interval=seconds(0), **options)  # type: ignore[arg-type]


@pytest.fixture
async def store() -> Store:
    return Store()


async def test_an_item_alone_goes_at_once(store: Store) -> None:
    async with collector(store).open() as items:
        await items.add("one")
    assert store.batches == [["one"]]


async def test_what_comes_meanwhile_goes_together_in_order(store: Store) -> None:
    store.gate.clear()
    async with collector(store).open() as items, asyncio.TaskGroup() as group:
        first = group.create_task(items.add("first"))
        await asyncio.sleep(0.01)
        for number in range(10):
            group.create_task(items.add(str(number)))
        await asyncio.sleep(0.01)
        assert not first.done()
        store.gate.set()
    assert store.batches == [["first"], [str(number) for number in range(10)]]


async def test_a_batch_has_its_bound(store: Store) -> None:
    store.gate.clear()
    async with collector(store, largest=4).open() as items, asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(items.add(str(number)))
        await asyncio.sleep(0.01)
        store.gate.set()
    assert [len(batch) for batch in store.batches] == [4, 4, 2]


async def test_a_bad_item_harms_nobody_else(store: Store) -> None:
    store.gate.clear()
    async with collector(store).open() as items:
        adding = [asyncio.create_task(items.add(item)) for item in ("a", "bad", "b", "bad too", "c")]
        await asyncio.sleep(0.01)
        store.gate.set()
        results = await asyncio.gather(*adding, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), ValueError, type(None), ValueError, type(None)]
    assert sorted(item for batch in store.batches for item in batch) == ["a", "b", "c"]


async def test_a_bad_moment_fails_the_batch_once_and_the_next_one_works(store: Store) -> None:
    store.away = True
    async with collector(store).open() as items:
        results = await asyncio.gather(items.add("a"), items.add("b"), return_exceptions=True)
        assert [type(result) for result in results] == [DatabaseUnavailable, DatabaseUnavailable]
        store.away = False
        await items.add("c")
    assert store.batches == [["c"]]


async def test_too_much_is_refused_at_once(store: Store) -> None:
    store.gate.clear()
    async with collector(store, most_waiting=3).open() as items:
        adding = [asyncio.create_task(items.add(str(number))) for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await items.add("more")
        store.gate.set()
        await asyncio.gather(*adding)


async def test_a_store_that_hangs_is_given_up(store: Store) -> None:
    store.gate.clear()
    async with collector(store, patience=seconds(0.05)).open() as items:
        with pytest.raises(TimeoutError):
            await items.add("one")
        store.gate.set()
        await items.add("two")
    assert store.batches[-1] == ["two"]


async def test_a_caller_that_leaves_takes_nobody_along(store: Store) -> None:
    store.gate.clear()
    async with collector(store).open() as items:
        leaving = asyncio.create_task(items.add("leaving"))
        staying = asyncio.create_task(items.add("staying"))
        await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.wait([leaving])
        store.gate.set()
        await staying
    assert store.batches == [["leaving", "staying"]]


async def test_what_waits_or_is_on_its_way_at_the_end_is_kept(store: Store) -> None:
    store.gate.clear()
    async with collector(store).open() as items:
        on_its_way = asyncio.create_task(items.add("on its way"))
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(items.add("waiting"))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, store.gate.set)
    await asyncio.gather(on_its_way, waiting)
    assert store.batches == [["on its way"], ["waiting"]]


async def test_the_end_does_not_wait_for_ever(store: Store) -> None:
    store.gate.clear()
    async with collector(store, patience=seconds(0.05)).open() as items:
        adding = asyncio.create_task(items.add("never"))
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await adding


async def test_an_interval_gathers_under_load(store: Store) -> None:
    def never(error: Exception) -> bool:
        return False

    async with Collector(store, transient=never, interval=seconds(0.05)).open() as items:
        await items.add("first")
        # The first wait has begun: all of these are one batch, however they arrive in it.
        await asyncio.gather(*[items.add(str(number)) for number in range(5)])
    assert [len(batch) for batch in store.batches] == [1, 5]
