"""What every store does: newest stamps, lifetimes, tags, changes in order, locks, and StoreDown when it is gone."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

import redis_server
from roadworthy.cache.record import Entry, encode
from roadworthy.cache.stamp import seconds_of, stamp_of
from roadworthy.cache.store import Store, StoreDown, Write
from roadworthy.runtime.scratch import ScratchServer

from .changes import listening
from .stores import Backend, Kind, dictionary_backend, postgres_on, prepared, redis_backend

NAMES = [
    "shop:pages:1",
    "shop:pages:ü",
    "shop:pages:日本語",
    "shop:pages:\x00\n\"'\\",
    "shop:pages: ",
    "shop:pages:{}[]%_*?",
]


def record(stamp: int, data: bytes = b"data") -> bytes:
    """Return a record as the store is given them; it looks at the stamp alone."""
    return encode(Entry(data, stamp, 2e9, 2e9))


def kept(name: str, stamp: int, data: bytes = b"data", lifetime: float = 60) -> Write:
    return Write(name, record(stamp, data), stamp, lifetime)


def deleted(name: str, stamp: int, lifetime: float = 60) -> Write:
    tombstone = encode(Entry(b"", stamp, 2e9, 2e9, tombstone=True))
    return Write(name, tombstone, stamp, lifetime, "delete")


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    async with backend.open(1) as opened:
        yield opened


async def test_what_was_written_is_read_and_what_was_not_is_none(store: Store) -> None:
    assert await store.get("a") is None
    assert await store.write([kept("a", 5)]) == [True]
    assert await store.get("a") == record(5)
    assert await store.get("A") is None


@pytest.mark.parametrize("order", list(itertools.permutations((3, 5, 4))))
async def test_the_newest_stamp_wins_in_whatever_order_writes_arrive(store: Store, order: tuple[int, ...]) -> None:
    newest = 0
    for stamp in order:
        assert await store.write([kept("a", stamp)]) == [stamp > newest]
        newest = max(newest, stamp)
    assert await store.get("a") == record(5)


async def test_of_equal_stamps_the_later_write_wins(store: Store) -> None:
    await store.write([kept("a", 5, b"first")])
    assert await store.write([kept("a", 5, b"second")]) == [True]
    assert await store.get("a") == record(5, b"second")


async def test_stamps_are_compared_as_numbers_over_their_whole_range(store: Store) -> None:
    stamps = [1, 255, 256, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, stamp_of(1.9e9, 0), stamp_of(1.9e9, 4095)]
    for stamp in stamps:
        assert await store.write([kept("a", stamp)]) == [True], stamp
        assert await store.write([kept("a", stamp - 1)]) == [False], stamp
    assert await store.get("a") == record(stamps[-1])


async def test_a_deletion_keeps_out_what_is_older_until_its_lifetime_ends(store: Store) -> None:
    await store.write([kept("a", 5)])
    assert await store.write([deleted("a", 7, lifetime=1)]) == [True]
    assert await store.write([kept("a", 6)]) == [False]
    assert await store.get("a") == deleted("a", 7).record
    await asyncio.sleep(1.05)
    assert await store.get("a") is None
    assert await store.write([kept("a", 6)]) == [True]


async def test_many_are_read_in_the_order_in_which_they_are_asked_for(store: Store) -> None:
    await store.write([kept(f"k{n}", n + 1) for n in range(0, 1200, 2)])
    asked = [f"k{n * 7 % 1200}" for n in range(1200)]
    assert await store.get_many(asked) == [None if n * 7 % 2 else record(n * 7 % 1200 + 1) for n in range(1200)]
    assert await store.get_many(["k2", "k1", "k2"]) == [record(3), None, record(3)]


async def test_nothing_asked_is_nothing_done(store: Store) -> None:
    assert await store.get_many([]) == []
    assert await store.write([]) == []
    assert await store.tag_stamps([]) == []
    assert [batch async for batch in store.names("", "*")] == []
    assert await store.invalidate([], lifetime=60) > 0


async def test_each_write_of_a_batch_is_judged_alone(store: Store) -> None:
    await store.write([kept("a", 5), kept("b", 1)])
    assert await store.write([kept("a", 4), kept("b", 4), kept("c", 4)]) == [False, True, True]
    assert await store.get_many(["a", "b", "c"]) == [record(5), record(4), record(4)]


async def test_writes_of_one_name_at_once_leave_the_newest(store: Store) -> None:
    stamps = [7, 3, 9, 1, 8]
    answers = await asyncio.gather(*(store.write([kept("a", stamp)]) for stamp in stamps))
    assert answers[2] == [True]
    assert await store.get("a") == record(9)
    assert (await store.write([kept("b", 5), kept("b", 9), kept("b", 7)]))[1]
    assert await store.get("b") == record(9)


async def test_a_lifetime_ends(store: Store) -> None:
    await store.write([kept("short", 5, lifetime=0.15), kept("long", 5, lifetime=60)])
    await asyncio.sleep(0.2)
    assert await store.get_many(["short", "long"]) == [None, record(5)]
    assert [batch async for batch in store.names("", "*")] == [["long"]]


async def test_a_new_write_brings_a_lifetime_of_its_own(store: Store) -> None:
    await store.write([kept("a", 5, lifetime=0.15)])
    await store.write([kept("a", 6, lifetime=60)])
    await asyncio.sleep(0.2)
    assert await store.get("a") == record(6)


async def test_names_and_records_hold_any_text_and_any_bytes(store: Store) -> None:
    writes = [kept(name, 5, bytes(range(256)) + name.encode()) for name in NAMES]
    assert await store.write(writes) == [True] * len(NAMES)
    assert await store.get_many(NAMES) == [write.record for write in writes]


@pytest.mark.parametrize("size", [0, 1, 2_000, 9_000, 3_000_000])
async def test_records_of_any_size_come_back_whole(store: Store, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    await store.write([kept("large", 5, data), kept("other", 5)])
    assert await store.get_many(["large", "other"]) == [record(5, data), record(5)]


async def test_many_large_records_are_written_at_once(store: Store) -> None:
    writes = [kept(f"k{n}", 5, bytes([n]) * 1_000_000) for n in range(12)]
    assert await store.write(writes) == [True] * 12
    assert await store.get("k11") == writes[11].record


async def test_the_stamp_of_a_tag_is_the_moment_of_its_invalidation(store: Store) -> None:
    before = await store.now()
    stamp = await store.invalidate(["red", "blue"], lifetime=60)
    assert before <= seconds_of(stamp) <= await store.now()
    assert await store.tag_stamps(["blue", "green", "red", "blue"]) == [stamp, 0, stamp, stamp]
    assert await store.invalidate(["red"], lifetime=60) > stamp


async def test_the_stamp_of_a_tag_never_falls(store: Store) -> None:
    await store.invalidate(["red"], lifetime=60, stamp=100)
    await store.invalidate(["red", "blue"], lifetime=60, stamp=50)
    assert await store.tag_stamps(["red", "blue"]) == [100, 50]
    await store.invalidate(["red"], lifetime=60, stamp=101)
    assert await store.tag_stamps(["red"]) == [101]
    now = await store.invalidate(["red"], lifetime=60)
    await store.invalidate(["red"], lifetime=60, stamp=102)
    assert await store.tag_stamps(["red"]) == [now]


async def test_invalidations_at_once_leave_the_newest(store: Store) -> None:
    stamps = await asyncio.gather(*(store.invalidate(["red"], lifetime=60, stamp=n) for n in (5, 9, 2)))
    assert list(stamps) == [5, 9, 2]
    assert await store.tag_stamps(["red"]) == [9]


async def test_a_tag_is_forgotten_after_the_longest_lifetime_given(store: Store) -> None:
    await store.invalidate(["red", "blue"], lifetime=0.15)
    await store.invalidate(["blue"], lifetime=60, stamp=1)
    await store.invalidate(["blue"], lifetime=0.01, stamp=2)
    await asyncio.sleep(0.2)
    red, blue = await store.tag_stamps(["red", "blue"])
    assert red == 0
    assert blue > 2


async def test_the_clock_is_unix_time_and_goes_forward(store: Store) -> None:
    first = await store.now()
    assert abs(first - time.time()) < 5
    await asyncio.sleep(0.01)
    assert await store.now() > first


async def test_every_node_hears_of_every_change_in_the_order_of_writes(backend: Backend) -> None:
    async with backend.open(1) as one, backend.open(2) as two, listening(one) as first, listening(two) as second:
        await one.write([kept("a", 5)])
        await two.write([deleted("a", 6)])
        await one.write([kept("a", 5)])
        stamp = await two.invalidate(["red"], lifetime=60)
        await one.write([kept("b", 5)])
        changes = [("set", "a", 5), ("delete", "a", 6), ("tag", "red", stamp), ("set", "b", 5)]
        for ear in first, second:
            await ear.hears(changes)
            assert [change.sender for change in ear.latest()] == [1, 2, 2, 1]


async def test_changes_of_many_long_names_are_all_told(backend: Backend) -> None:
    # More than fits in a message of some stores, with characters that take more room there.
    names = [f"{n:04}" + '\x00"ü' * 250 for n in range(60)]
    async with backend.open(1) as store, listening(store) as ear:
        assert await store.write([kept(name, 5) for name in names]) == [True] * 60
        await store.invalidate(names, lifetime=60, stamp=6)
        await ear.until(lambda: len(ear.latest()) >= 120)
        told = ear.latest()
        assert sorted(change.name for change in told[:60]) == names
        assert sorted(change.name for change in told[60:]) == names
        assert {change.action for change in told[60:]} == {"tag"}


async def test_what_a_node_is_told_can_be_read(backend: Backend) -> None:
    async with backend.open(1) as writer, backend.open(2) as reader, listening(reader) as ear:
        for stamp in range(1, 101):
            await writer.write([kept("a", stamp)])
            await ear.until(lambda stamp=stamp: len(ear.latest()) == stamp)
            assert await reader.get("a") == record(stamp)


async def test_after_an_interruption_a_node_is_told_so_before_the_next_change(backend: Backend) -> None:
    async with backend.open(1) as store, backend.open(2) as other, listening(store) as ear:
        await other.write([kept("a", 1)])
        await ear.hears([("set", "a", 1)])
        await backend.cut()
        await ear.until(lambda: ear.heard.count(None) == 2)
        await eventually(other, kept("a", 2))
        await ear.hears([("set", "a", 2)])
        told = [None if change is None else change.stamp for change in ear.heard]
        assert told == [None, 1, None, 2]


async def eventually(store: Store, write: Write) -> None:
    """Write through a store that was cut off a moment ago."""
    async with asyncio.timeout(60):
        while True:
            try:
                await store.write([write])
                return
            except StoreDown:
                await asyncio.sleep(0.01)


async def test_who_has_stopped_listening_is_told_nothing(backend: Backend) -> None:
    async with backend.open(1) as store, listening(store) as other:
        async with listening(store) as ear:
            pass
        await store.write([kept("a", 1)])
        await other.hears([("set", "a", 1)])
        assert ear.latest() == []


async def names_of(store: Store, prefix: str, pattern: str) -> list[str]:
    found = [name async for batch in store.names(prefix, pattern) for name in batch]
    return sorted(set(found))


@pytest.mark.parametrize(
    ("prefix", "pattern", "wanted"),
    [
        ("p:", "*", ["p:", "p:a", "p:a1", "p:ab", "p:b*?[a]\\", "p:ü", "p:\n"]),
        ("p:", "", ["p:"]),
        ("p:", "a", ["p:a"]),
        ("p:", "a*", ["p:a", "p:a1", "p:ab"]),
        ("p:", "?", ["p:a", "p:ü", "p:\n"]),
        ("p:", "*b*", ["p:ab", "p:b*?[a]\\"]),
        ("p:", "a?", ["p:a1", "p:ab"]),
        ("p:", "b*?[a]\\", ["p:b*?[a]\\"]),
        ("p:", "[ab]", []),
        ("p:b*?[", "*", ["p:b*?[a]\\"]),
        ("p?", "*", []),
        ("p", "*", ["p", "p*:a", "p:", "p:a", "p:a1", "p:ab", "p:b*?[a]\\", "p:ü", "p:\n"]),
        ("p*", "*", ["p*:a"]),
        ("q", "*", []),
    ],
)
async def test_names_are_found_by_prefix_and_pattern(
    store: Store, prefix: str, pattern: str, wanted: list[str]
) -> None:
    names = ["p", "p*:a", "p:", "p:a", "p:a1", "p:ab", "p:b*?[a]\\", "p:ü", "p:\n", "P:a", "o", "pü"]
    await store.write([kept(name, 5) for name in names])
    await store.invalidate(["p:tag"], lifetime=60)
    await store.acquire("p:lock", "token", 60)
    expected = [*wanted, "pü"] if (prefix, pattern) == ("p", "*") else wanted
    assert await names_of(store, prefix, pattern) == sorted(expected)


async def test_names_come_in_batches_however_many_there_are(store: Store) -> None:
    names = sorted(f"p:{n}" for n in range(2500))
    await store.write([kept(name, 5) for name in names])
    await store.write([kept(f"q:{n}", 5) for n in range(100)])
    assert await names_of(store, "p:", "*") == names
    assert await names_of(store, "p:", "12*") == [name for name in names if name.startswith("p:12")]


async def test_a_lock_is_had_by_one_token(backend: Backend) -> None:
    async with backend.open(1) as one, backend.open(2) as two:
        assert await one.acquire("a", "first", 60)
        assert not await two.acquire("a", "second", 60)
        assert not await one.acquire("a", "second", 60)
        assert await two.acquire("b", "second", 60)
        assert not await two.release("a", "second")
        assert await one.release("a", "first")
        assert not await one.release("a", "first")
        assert await two.acquire("a", "second", 60)


async def test_a_lock_is_free_when_its_lease_ends_and_renewed_before(store: Store) -> None:
    assert await store.acquire("kept", "first", 1)
    assert await store.acquire("lost", "first", 1)
    assert await store.acquire("kept", "first", 60)
    await asyncio.sleep(1.05)
    assert not await store.acquire("kept", "second", 60)
    assert not await store.release("lost", "first")
    assert await store.acquire("lost", "second", 60)
    assert not await store.release("lost", "first")
    assert await store.release("lost", "second")


async def test_of_many_who_want_a_lock_at_once_one_gets_it(backend: Backend) -> None:
    async with backend.open(1) as one, backend.open(2) as two:
        got = await asyncio.gather(*((one, two)[n % 2].acquire("a", f"token {n}", 60) for n in range(40)))
        assert sum(got) == 1
        assert await one.release("a", f"token {got.index(True)}")


async def test_locks_tags_and_records_of_one_name_are_apart(store: Store) -> None:
    await store.write([kept("a", 5)])
    assert await store.acquire("a", "token", 60)
    await store.invalidate(["a"], lifetime=60, stamp=9)
    assert await store.get("a") == record(5)
    assert await store.write([kept("a", 6)]) == [True]
    assert await store.release("a", "token")
    assert await store.tag_stamps(["a"]) == [9]


async def test_a_cancelled_caller_harms_nobody(store: Store) -> None:
    await store.write([kept("a", 5)])
    for turns in range(6):
        tasks = [asyncio.create_task(store.get("a")) for _ in range(9)]
        tasks.append(asyncio.create_task(store.write([kept("b", turns + 1)])))
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [answer for n, answer in enumerate(answers[:9]) if n % 3] == [record(5)] * 6
        assert await store.get("a") == record(5)
    assert await store.write([kept("a", 6)]) == [True]


async def test_a_lock_wanted_by_a_cancelled_caller_is_not_left_behind(store: Store) -> None:
    for turns in range(5):
        task = asyncio.create_task(store.acquire("a", "gone", 60))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        answer = (await asyncio.gather(task, return_exceptions=True))[0]
        if answer is True:
            assert await store.release("a", "gone")
        assert await store.acquire("a", "next", 60), turns
        assert await store.release("a", "next")


async def test_the_store_is_down_when_its_server_is_gone(kind: Kind) -> None:
    async with doomed(kind) as backend, backend.open(1) as store:
        await store.write([kept("a", 5)])
        async with listening(store):
            await backend.stop()
            for _ in range(2):
                with pytest.raises(StoreDown):
                    await store.get("a")
                with pytest.raises(StoreDown):
                    await store.get_many(["a", "b"])
                with pytest.raises(StoreDown):
                    await store.write([kept("a", 6)])
                with pytest.raises(StoreDown):
                    await store.tag_stamps(["red"])
                with pytest.raises(StoreDown):
                    await store.invalidate(["red"], lifetime=60)
                with pytest.raises(StoreDown):
                    await store.acquire("a", "token", 60)
                with pytest.raises(StoreDown):
                    await store.release("a", "token")
                with pytest.raises(StoreDown):
                    await store.now()
                with pytest.raises(StoreDown):
                    await anext(store.names("", "*"))
        # One can neither be entered late nor keep anybody when it is left.
        async with asyncio.timeout(60), store.listening(lambda _: None, lambda: None):
            pass


@asynccontextmanager
async def doomed(kind: Kind) -> AsyncIterator[Backend]:
    """A store on a server that the test may end."""
    async with AsyncExitStack() as stack:
        if kind == "redis":
            yield await stack.enter_async_context(
                redis_backend(await stack.enter_async_context(redis_server.running()))
            )
        elif kind == "postgres":
            server = await stack.enter_async_context(ScratchServer())
            # Dropping its database would need the server.
            yield postgres_on(await prepared(server), server)
        else:
            yield await stack.enter_async_context(dictionary_backend())
