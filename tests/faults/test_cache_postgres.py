"""The store in PostgreSQL when its server is killed or hangs: nothing stale survives, and nobody waits for long."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from launching import until
from roadworthy.cache.postgres import PostgresStore
from roadworthy.cache.record import Entry, encode
from roadworthy.cache.stamp import stamp_of
from roadworthy.cache.store import Change, Store, StoreDown, Write
from roadworthy.database import driver, migration
from roadworthy.runtime.embedded import EmbeddedPostgres

_READER = "SELECT pid FROM pg_stat_activity WHERE application_name = 'roadworthy cache changes'"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL that comes back as it would on a machine of its own."""
    async with EmbeddedPostgres(tmp_path / "data", settings={"fsync": "off"}) as started:
        await migration.apply(started.dsn, [migration.load("roadworthy.cache", "roadworthy.cache")])
        yield started


@asynccontextmanager
async def opened(server: EmbeddedPostgres, node: int, seconds: float = 5) -> AsyncIterator[Store]:
    timeout = timedelta(seconds=seconds)
    async with PostgresStore.open(server.dsn, service="shop", node=node, timeout=timeout) as store:
        yield store


def write(name: str, stamp: int) -> Write:
    return Write(name, encode(Entry(b"", stamp, 2e9, 2e9)), stamp, 600)


def gone(call: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[bool]]:
    async def is_gone() -> bool:
        try:
            await call()
        except StoreDown:
            return True
        return False

    return is_gone


async def crash_postmaster(server: EmbeddedPostgres) -> None:
    """Kill the server's first process, which its others notice, and start it again."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.restart()


async def crash_backend(server: EmbeddedPostgres) -> None:
    """Kill one process that serves a connection; the server then ends all of them, and recovers by itself."""
    connection = await driver.connect(server.dsn)
    try:
        os.kill(await connection.fetchval(_READER), signal.SIGKILL)
    finally:
        connection.terminate()


@pytest.mark.parametrize("crash", [crash_postmaster, crash_backend])
async def test_after_a_crash_nothing_stale_is_kept_or_comes_back(
    server: EmbeddedPostgres, crash: Callable[[EmbeddedPostgres], Awaitable[None]]
) -> None:
    heard: list[Change | None] = []
    async with (
        opened(server, 1) as store,
        opened(server, 2) as other,
        store.listening(heard.append, lambda: heard.append(None)),
    ):
        began = stamp_of(await store.now(), 1)
        assert await store.write([write("page", began), write("other", began)]) == [True, True]
        # While another node loads the page anew, its tag is invalidated, and one key deleted.
        stamp = await store.invalidate(["site"], lifetime=600)
        await until(lambda: was(len(heard) == 4), "the changes are told")

        await crash(server)
        await until(lambda: was(heard.count(None) == 2), "the node hears that it may have missed changes")

        # It is empty, tags included; what began before the crash does not come in any more.
        assert await eventually(lambda: other.get_many(["page", "other"])) == [None, None]
        assert await other.tag_stamps(["site"]) == [0]
        assert await eventually(lambda: other.write([write("page", began)])) == [False]
        assert await other.write([write("page", stamp)]) == [False]
        assert await other.get("page") is None

        # A deletion is told whenever it was made, and what is loaded now is kept.
        deletion = Write("other", b"", began, 600, "delete")
        assert await other.write([deletion]) == [True]
        now = stamp_of(await other.now(), 2)
        assert await store.write([write("page", now)]) == [True]
        assert await other.get("page") == write("page", now).record
        await until(lambda: was(len(heard) >= 7), "the changes after the crash are told")
    assert heard[-3:] == [None, Change("delete", "other", began, 2), Change("set", "page", now, 1)]


async def test_a_stop_in_good_order_keeps_what_is_there(server: EmbeddedPostgres) -> None:
    async with opened(server, 1) as store:
        began = stamp_of(await store.now(), 1)
        await store.write([write("page", began)])
        stamp = await store.invalidate(["site"], lifetime=600)
        await server.restart()
        assert await eventually(lambda: store.get("page")) == write("page", began).record
        assert await store.tag_stamps(["site"]) == [stamp]
        assert await eventually(lambda: store.write([write("late", began)])) == [True]


async def test_a_server_that_hangs_costs_one_time_out_and_is_used_again_after(server: EmbeddedPostgres) -> None:
    async with opened(server, 1, seconds=0.5) as store:
        await eventually(lambda: store.write([write("page", 5)]))
        await eventually(lambda: store.get("page"))
        processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            began = time.monotonic()
            calls = [store.get("page"), store.write([write("page", 6)]), store.tag_stamps(["site"]), store.now()]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            took = time.monotonic() - began
            assert all(isinstance(answer, StoreDown) for answer in answers)
            # Not one after the other, each with a time-out of its own.
            assert took < 10
            with pytest.raises(StoreDown):
                await store.get("page")
        finally:
            for process in processes:
                process.resume()
        assert await eventually(lambda: store.get("page")) is not None
        assert await eventually(lambda: store.write([write("page", 7)])) == [True]


async def was(true: bool) -> bool:
    return true


async def eventually(call: Callable[[], Awaitable[object]]) -> object:
    """Return what a call says once the store is back."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await call()
            except StoreDown:
                await asyncio.sleep(0.05)
