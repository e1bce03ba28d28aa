"""Redis frozen, killed, emptied, full, or none at all: callers wait once at most, and it heals by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from redis_server import running
from roadworthy.cache.breaker import Breaker
from roadworthy.cache.record import Entry, encode
from roadworthy.cache.redis import RedisStore
from roadworthy.cache.stamp import stamp_of
from roadworthy.cache.store import Change, StoreDown, StoreRefused, Write
from unit.redis.scripted import Answer, polite, scripted, until

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT = 0.4
LATER = 2e9


@asynccontextmanager
async def _store(url: str, node: int = 1) -> AsyncIterator[Breaker]:
    async with RedisStore.open(url, service="shop", node=node, timeout=timedelta(seconds=TIMEOUT)) as store:
        breaker = Breaker(store, longest_wait=0.4)
        try:
            yield breaker
        finally:
            await breaker.close()


def _write(name: str, at: float, data: bytes = b"value", tombstone: bool = False) -> Write:
    """A record of `at` seconds from long after the server began, or from then in Unix time."""
    at += 0 if at > LATER / 2 else LATER
    entry = Entry(b"" if tombstone else data, stamp_of(at, 1), 2e9, 2e9, tombstone=tombstone)
    return Write(name, encode(entry), entry.stamp, 60.0, "delete" if tombstone else "set")


async def _answers(breaker: Breaker) -> None:
    """Wait until the store is asked again, and answers."""
    async with asyncio.timeout(60):
        while True:
            try:
                await breaker.now()
                return
            except StoreDown:
                await asyncio.sleep(0.02)


async def _waits_for_nothing(ask: Callable[[], Awaitable[object]]) -> None:
    """Call a thousand times, and see that not a turn of the loop passed."""
    loop, turns = asyncio.get_running_loop(), 0

    def count() -> None:
        nonlocal turns
        turns += 1

    loop.call_soon(count)
    for _ in range(1000):
        with pytest.raises(StoreDown):
            await ask()
    assert turns == 0


async def _waited(ask: Callable[[], Awaitable[object]]) -> float:
    began = time.monotonic()
    with pytest.raises(StoreDown):
        await ask()
    return time.monotonic() - began


async def test_frozen_it_costs_one_time_out_and_heals_by_itself() -> None:
    async with running() as server, _store(server.url) as breaker:
        for _ in range(2):
            await breaker.write([_write("a", 10)])
            with server.frozen():
                early = [asyncio.create_task(_waited(lambda: breaker.get("a"))) for _ in range(50)]
                await asyncio.sleep(TIMEOUT / 2)
                late = [asyncio.create_task(_waited(lambda: breaker.write([_write("b", 10)]))) for _ in range(50)]
                # Those who came late fail with the first, having waited less.
                await asyncio.gather(*early)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert all(task.done() for task in late)
                assert max(await asyncio.gather(*late)) < max(await asyncio.gather(*early))
                await _waits_for_nothing(lambda: breaker.get("a"))
                assert breaker.condition.open
                # Probes that hang make nobody else hang.
                for _ in range(8):
                    await asyncio.sleep(0.05)
                    await _waits_for_nothing(lambda: breaker.get("a"))
            await _answers(breaker)
            assert await breaker.get("a") == _write("a", 10).record


async def test_killed_and_started_again_it_is_used_again() -> None:
    heard: list[Change | None] = []
    async with (
        running() as server,
        _store(server.url) as breaker,
        breaker.listening(heard.append, lambda: heard.append(None)),
    ):
        await breaker.write([_write("a", 10)])
        await until(lambda: len(heard) == 2)
        server.stop()
        with pytest.raises(StoreDown):
            await breaker.get("a")
        await _waits_for_nothing(lambda: breaker.invalidate(["t"], lifetime=60))
        heard.clear()
        await server.start()
        await _answers(breaker)
        await until(lambda: heard == [None])
        assert await breaker.get("a") is None
        assert await breaker.write([_write("a", 11)]) == [True]
        await until(lambda: len(heard) == 2)
    assert heard == [None, Change("set", "a", stamp_of(LATER + 11, 1), 1)]


async def test_killed_with_much_in_flight_everybody_hears_of_it() -> None:
    async with running() as server, _store(server.url) as breaker:
        waiting = [asyncio.create_task(breaker.get(f"key-{n}")) for n in range(2000)]
        with server.frozen():
            await asyncio.sleep(0.05)
            server.stop()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60)
        assert all(outcome is None or isinstance(outcome, StoreDown) for outcome in outcomes)


async def test_emptied_it_knows_nothing_and_goes_on() -> None:
    async with running() as server, _store(server.url) as breaker:
        await breaker.write([_write("a", 10)])
        stamp = await breaker.invalidate(["t"], lifetime=60)
        assert await breaker.acquire("a", "me", 60)
        await server.execute("FLUSHALL")
        await server.execute("SCRIPT", "FLUSH")
        assert await breaker.get("a") is None
        assert await breaker.tag_stamps(["t"]) == [0]
        assert not await breaker.release("a", "me")
        assert await breaker.write([_write("a", await breaker.now() + 1)]) == [True]
        assert await breaker.invalidate(["t"], lifetime=60) > stamp


async def test_emptied_it_takes_nothing_that_was_loaded_before() -> None:
    async with running() as server, _store(server.url) as breaker:
        began = await breaker.now()
        await breaker.invalidate(["t"], lifetime=60)
        await server.execute("FLUSHALL")
        assert await breaker.write([_write("late", began)]) == [False], "nobody knows any more that it was invalidated"
        assert await breaker.write([_write("deleted", began, tombstone=True)]) == [True]
        assert await breaker.write([_write("new", await breaker.now() + 1)]) == [True]


async def _fill(breaker: Breaker) -> None:
    for n in range(10_000):
        try:
            await breaker.write([_write(f"filler-{n}", 10, b"x" * 20_000)])
        except StoreRefused:
            return
    raise AssertionError("it never became full")


async def test_full_it_is_read_and_still_deletes_and_invalidates() -> None:
    heard: list[Change | None] = []
    async with (
        running("--maxmemory", "4mb", "--maxmemory-policy", "noeviction") as server,
        _store(server.url) as breaker,
        breaker.listening(heard.append, lambda: heard.append(None)),
    ):
        await breaker.write([_write("a", 10), _write("b", 10), _write("c", 10)])
        await _fill(breaker)
        with pytest.raises(StoreRefused, match="maxmemory"):
            await breaker.write([_write("a", 11), _write("new", 11)])
        # What was older is gone, and nobody keeps it in memory.
        assert await breaker.get_many(["a", "new"]) == [None, None]
        await until(lambda: Change("set", "a", stamp_of(LATER + 11, 1), 1) in heard)
        await _fill(breaker)
        assert await breaker.write([_write("b", 11, tombstone=True)]) == [True]
        assert await breaker.get("b") == _write("b", 11, tombstone=True).record
        assert await breaker.write([_write("b", 10)]) == [False]
        stamp = await breaker.invalidate(["t"], lifetime=60)
        assert await breaker.tag_stamps(["t"]) == [stamp]
        await until(lambda: Change("tag", "t", stamp, 1) in heard)
        assert Change("delete", "b", stamp_of(LATER + 11, 1), 1) in heard
        assert await breaker.get("c") == _write("c", 10).record
        with pytest.raises(StoreRefused):
            await breaker.acquire("a", "me", 60)
        assert not breaker.condition.open
        await server.execute("CONFIG", "SET", "maxmemory", "0")
        assert await breaker.write([_write("a", 12)]) == [True]


async def test_a_listener_that_the_server_throws_out_says_so_and_comes_back() -> None:
    heard: list[Change | None] = []
    async with (
        running() as server,
        _store(server.url) as breaker,
        breaker.listening(heard.append, lambda: heard.append(None)),
    ):
        for at in (10, 11, 12):
            await breaker.write([_write("a", at)])
            await until(lambda: heard[-1] is not None)
            await server.execute("CLIENT", "KILL", "TYPE", "pubsub")
            await until(lambda: heard[-1] is None)
    assert [change and change.stamp for change in heard] == [
        *(None, stamp_of(LATER + 10, 1)),
        *(None, stamp_of(LATER + 11, 1)),
        *(None, stamp_of(LATER + 12, 1)),
        None,
    ]


async def test_a_replica_is_read_and_takes_no_writes() -> None:
    async with (
        running("--repl-diskless-sync-delay", "0") as primary,
        running("--replicaof", "127.0.0.1", str(primary.port)) as replica,
        _store(primary.url) as writer,
        _store(replica.url) as reader,
    ):
        await writer.write([_write("a", 10)])
        async with asyncio.timeout(60):
            while await reader.get("a") is None:
                await asyncio.sleep(0.05)
        with pytest.raises(StoreRefused, match="name its primary in REDIS_URL"):
            await reader.write([_write("a", 11)])
        with pytest.raises(StoreRefused, match="name its primary in REDIS_URL"):
            await reader.invalidate(["t"], lifetime=60)
        assert await reader.get("a") == _write("a", 10).record
        assert not reader.condition.open


@pytest.mark.parametrize(
    "answer",
    [lambda command: None, lambda command: b"HTTP/1.1 400 Bad Request\r\n\r\n", lambda command: b"+OK\r\n" * 7],
    ids=["silence", "HTTP", "too much"],
)
async def test_what_is_no_redis_costs_callers_nothing(answer: Answer) -> None:
    async with scripted() as server:
        server.answer = answer
        async with _store(f"redis://127.0.0.1:{server.address.port}/0") as breaker:
            with pytest.raises(StoreDown):
                await breaker.get("a")
            await _waits_for_nothing(lambda: breaker.get("a"))
            async with breaker.listening(lambda change: None, lambda: None):
                pass
            server.answer = lambda command: (
                b"*2\r\n$1\r\n5\r\n$1\r\n0\r\n" if command[0] == b"TIME" else polite(command)
            )
            await _answers(breaker)
