"""What goes wrong in caches that people use, as scenarios that run on the one that has the defect and on ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cashews
from dogpile.cache import make_region

from roadworthy import seconds
from roadworthy.handles.cache import Cache

from . import stampede
from .nodes import Servers
from .registry import kind_of

_SETTLED_SECONDS = 2.0
"""By then, every node must have heard of a change."""
_KEYS = 200
_CALLERS = 10
_TAGGED = 500
_SLOW_SECONDS = 0.5
"""A call that takes longer while Redis hangs waited for a time-out."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario showed, and whether that is right."""

    shown: str
    right: bool


Scenario = Callable[[Servers], Awaitable[Outcome]]


class _Node(Protocol):
    async def get(self, key: str) -> Any: ...
    async def set(self, key: str, value: Any) -> Any: ...


def _stale(count: int, of: int, what: str = "stale") -> Outcome:
    return Outcome(f"{count} of {of} keys {what}", count == 0)


async def _written_after_read(writer: _Node, reader: _Node) -> Outcome:
    keys = [f"key-{number}" for number in range(50)]
    for key in keys:
        await writer.set(key, 1)
        await reader.get(key)
    for key in keys:
        await writer.set(key, 2)
    await asyncio.sleep(_SETTLED_SECONDS)
    return _stale(sum([await reader.get(key) != 2 for key in keys]), len(keys))


async def _written_by_both(one: _Node, other: _Node) -> Outcome:
    keys = [f"both-{number}" for number in range(_KEYS)]
    for key in keys:
        await asyncio.gather(one.set(key, f"{key} one"), other.set(key, f"{key} other"))
        await asyncio.gather(one.get(key), other.get(key))
    await asyncio.sleep(_SETTLED_SECONDS)
    return _stale(sum([await one.get(key) != await other.get(key) for key in keys]), len(keys), "differ")


async def _read_while_written(writer: _Node, reader: _Node) -> Outcome:
    keys = [f"read-{number}" for number in range(_KEYS)]
    for key in keys:
        await writer.set(key, 1)
    await asyncio.sleep(0.2)
    for key in keys:
        await asyncio.gather(reader.get(key), writer.set(key, 2), reader.get(key))
    await asyncio.sleep(_SETTLED_SECONDS)
    return _stale(sum([await reader.get(key) != 2 for key in keys]), len(keys))


def _between_ours(check: Callable[[_Node, _Node], Awaitable[Outcome]]) -> Scenario:
    async def run(servers: Servers) -> Outcome:
        async with servers.ours(2) as (one, other):
            return await check(one, other)

    return run


def _between_cashews(check: Callable[[_Node, _Node], Awaitable[Outcome]], **settings: Any) -> Scenario:
    async def run(servers: Servers) -> Outcome:
        async with servers.cashews(2, client_side=True, **settings) as (one, other):
            return await check(one, other)

    return run


async def _cancelled(call: Callable[[], Awaitable[Any]]) -> Outcome:
    async def ask() -> Any:
        return await call()

    callers = [asyncio.create_task(ask()) for _ in range(_CALLERS)]
    await asyncio.sleep(0.05)
    callers[0].cancel()
    done = await asyncio.gather(*callers, return_exceptions=True)
    hurt = sum(isinstance(result, BaseException) for result in done[1:])
    return Outcome(f"{hurt} of {_CALLERS - 1} others cancelled", hurt == 0)


async def _slow() -> dict[str, int]:
    await asyncio.sleep(0.2)
    return {"count": 1}


async def _cancelled_cashews(servers: Servers) -> Outcome:
    async with servers.cashews() as (cache,):
        return await _cancelled(cache(ttl="10m", key="slow")(_slow))


async def _cancelled_ours(servers: Servers) -> Outcome:
    async with servers.ours() as (cache,):
        return await _cancelled(cache.cached(key="slow")(_slow))


async def _changed(call: Callable[[], Awaitable[dict[str, int]]]) -> Outcome:
    await call()
    for _ in range(2):
        value = await call()
        value["count"] = 99
    after = (await call())["count"]
    return Outcome(f"later callers get {after} for 1", after == 1)


async def _changed_cashews(_servers: Servers) -> Outcome:
    cache = cashews.Cache()
    cache.setup("mem://")
    try:
        return await _changed(cache(ttl="10m", key="slow")(_slow))
    finally:
        await cache.close()


async def _changed_ours(servers: Servers) -> Outcome:
    async with servers.ours() as (cache,):
        return await _changed(cache.cached(key="slow")(_slow))


async def _hanging(servers: Servers, call: Callable[[str], Awaitable[Any]]) -> Outcome:
    await call("warm")
    os.kill(servers.redis.pid, signal.SIGSTOP)
    try:
        took = []
        for number in range(3):
            began = time.perf_counter()
            await call(f"key-{number}")
            took.append(time.perf_counter() - began)
    finally:
        os.kill(servers.redis.pid, signal.SIGCONT)
    shown = ", ".join(f"{call:.3f}" for call in took)
    return Outcome(f"calls took {shown} s", max(took) < _SLOW_SECONDS and max(took[1:]) < _SLOW_SECONDS / 10)


async def _one(key: str) -> int:
    return len(key)


async def _hanging_cashews(servers: Servers) -> Outcome:
    async def one(key: str) -> int:
        return await _one(key)

    async with servers.cashews() as (cache,):
        return await _hanging(servers, cache(ttl="10m", key="{key}")(one))


async def _hanging_ours(servers: Servers) -> Outcome:
    async with servers.ours() as (cache,):
        return await _hanging(servers, cache.cached(key="{key}")(_one))


def _stampede(name: str) -> Scenario:
    async def run(servers: Servers) -> Outcome:
        loads = await stampede.loads(name, kind_of(name)(servers.redis.url, servers.postgres), 4, 50)
        return Outcome(f"{loads} loads by 200 callers in 4 processes", loads == 1)

    return run


async def _left_by_tags(servers: Servers, store: Callable[[int, float], Awaitable[Any]]) -> Outcome:
    """Many values that live for a fifth of a second and one that lives on, with one tag: what is left in Redis."""
    for number in range(_TAGGED):
        await store(number, 0.2)
    await store(_TAGGED, 600.0)
    await asyncio.sleep(1.0)
    members = 0
    async for key in servers.client.scan_iter():
        if await servers.client.type(key) == b"set":
            members += int(await servers.client.scard(key))
        else:
            members += 1
    return Outcome(f"{members} names left of one value, {_TAGGED} having expired", members < 10)


async def _tags_cashews(servers: Servers) -> Outcome:
    async with servers.cashews() as (cache,):
        cache.register_tag("news", "item:{number}")
        return await _left_by_tags(
            servers, lambda number, lifetime: cache.set(f"item:{number}", 1, expire=lifetime, tags=["news"])
        )


async def _tags_ours(servers: Servers) -> Outcome:
    async with servers.ours() as (cache,):
        return await _left_by_tags(
            servers, lambda number, lifetime: cache.set(f"item:{number}", 1, ttl=seconds(lifetime), tags=["news"])
        )


async def _forgotten_cashews(servers: Servers) -> Outcome:
    async with servers.cashews() as (cache,):
        cache.register_tag("news", "item:{number}")
        await cache.set("item:1", 1, expire=600, tags=["news"])
        await cache.set("item:2", 1, expire=0.2, tags=["news"])
        await asyncio.sleep(0.5)
        await cache.delete_tags("news")
        return _forgotten(await cache.get("item:1"))


async def _forgotten_ours(servers: Servers) -> Outcome:
    async with servers.ours() as (cache,):
        await cache.set("item:1", 1, tags=["news"])
        await cache.set("item:2", 1, ttl=seconds(0.2), tags=["news"])
        await asyncio.sleep(0.5)
        await cache.invalidate("news")
        return _forgotten(await cache.get("item:1"))


def _forgotten(value: Any) -> Outcome:
    return Outcome("nothing is left" if value is None else "the invalidated value is served", value is None)


class _Payload:
    """What an attacker who can write to Redis leaves there: unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._path),)


async def _unpickled(servers: Servers, read: Callable[[], Awaitable[Any]]) -> Outcome:
    path = servers.directory / f"attacked-{time.monotonic_ns()}"
    payload = pickle.dumps(_Payload(path))
    async for key in servers.client.scan_iter():
        if await servers.client.type(key) == b"string":
            # dogpile has something of its own before the pickle.
            before, bar, _ = (await servers.client.get(key)).rpartition(b"|")
            await servers.client.set(key, before + bar + payload)
    with contextlib.suppress(Exception):
        await read()
    ran = await asyncio.to_thread(path.exists)
    return Outcome("code from Redis ran" if ran else "nothing from Redis ran", not ran)


async def _unpickled_dogpile(servers: Servers) -> Outcome:
    region = make_region().configure("dogpile.cache.redis", arguments={"url": servers.redis.url})
    region.set("key", 1)
    try:
        return await _unpickled(servers, lambda: asyncio.to_thread(region.get, "key"))
    finally:
        region.actual_backend.reader_client.close()


async def _unpickled_cashews(servers: Servers) -> Outcome:
    async with servers.cashews() as (cache,):
        await cache.set("key", {"a": 1}, expire=600)
        return await _unpickled(servers, lambda: cache.get("key"))


async def _unpickled_ours(servers: Servers) -> Outcome:
    async with servers.ours() as (cache,):
        await cache.set("key", {"a": 1})
    async with servers.ours() as (other,):
        return await _unpickled(servers, lambda: _read(other))


async def _read(cache: Cache) -> Any:
    return await cache.get("key")


@dataclass(frozen=True, slots=True)
class Failure:
    """A defect, who has it, and what shows it there and would show it here."""

    defect: str
    peer: str
    theirs: Scenario
    ours: Scenario


FAILURES = (
    Failure(
        "a write does not reach other nodes' memory",
        "cashews client_side",
        _between_cashews(_written_after_read),
        _between_ours(_written_after_read),
    ),
    Failure(
        "two nodes write one key and disagree for good",
        "cashews client_side, RESP2",
        _between_cashews(_written_by_both, protocol=2),
        _between_ours(_written_by_both),
    ),
    Failure(
        "a read that overlaps a write keeps the old value",
        "cashews client_side, RESP2",
        _between_cashews(_read_while_written, protocol=2),
        _between_ours(_read_while_written),
    ),
    Failure("who is cancelled cancels all who wait", "cashews", _cancelled_cashews, _cancelled_ours),
    Failure("a caller changes what others get", "cashews in memory", _changed_cashews, _changed_ours),
    Failure("each call waits while Redis hangs", "cashews", _hanging_cashews, _hanging_ours),
    Failure("a lock that other processes pass", "aiocache", _stampede("aiocache"), _stampede("roadworthy")),
    Failure("tags remember what has expired", "cashews", _tags_cashews, _tags_ours),
    Failure("a tag forgets all when one of its values expires", "cashews", _forgotten_cashews, _forgotten_ours),
    Failure("reading runs code from Redis", "dogpile", _unpickled_dogpile, _unpickled_ours),
    Failure("reading runs code from Redis", "cashews", _unpickled_cashews, _unpickled_ours),
)
