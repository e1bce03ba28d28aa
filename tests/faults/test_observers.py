"""What is looked at hangs: the look says so after its patience, and nobody waits for it meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from redis_server import RedisServer
from roadworthy.database import metrics as database_metrics
from roadworthy.database.observer import DatabaseObserver
from roadworthy.health import machine, machine_metrics
from roadworthy.redis import metrics as redis_metrics
from roadworthy.redis.address import Address
from roadworthy.redis.observer import RedisObserver
from roadworthy.telemetry import exposition
from roadworthy.telemetry.registry import MetricRegistry

PATIENCE = 0.5


@asynccontextmanager
async def silence() -> AsyncIterator[int]:
    """Yield the port of a server that takes connections, and never says anything."""
    ended = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        ended.set()
        server.close()


async def test_a_postgresql_that_hangs_is_told_of_and_holds_nothing_up() -> None:
    metrics = MetricRegistry(database_metrics.CATALOGUE)
    async with silence() as port:
        dsn = f"postgresql://somebody@127.0.0.1:{port}/main"
        observer = DatabaseObserver(dsn, "main", metrics, name="test", patience=PATIENCE)
        looking = asyncio.create_task(observer.look())
        await asyncio.sleep(0.05)
        assert not looking.done()
        # A scrape meanwhile has its answer at once.
        assert "database_deadlocks_total" in exposition.render(metrics.snapshot())
        async with asyncio.timeout(60):
            await looking
        assert metrics.value("database_up", {"database": "main"}) == 0
        assert metrics.value("database_connections_limit", {"database": "main"}) is None
        await observer.close()


async def test_what_was_seen_of_a_postgresql_before_it_was_gone_is_not_told_any_more(dsn: str) -> None:
    metrics = MetricRegistry(database_metrics.CATALOGUE)
    observer = DatabaseObserver(dsn, "main", metrics, name="test observer")
    await observer.look()
    assert metrics.value("database_connections", {"database": "main", "state": "active"}) is not None
    observer._session._dsn = "postgresql://nobody@127.0.0.1:1/nothing"
    await observer.close()
    await observer.look()
    assert metrics.value("database_up", {"database": "main"}) == 0
    assert metrics.value("database_connections", {"database": "main", "state": "active"}) is None
    observer._session._dsn = dsn
    await observer.look()
    assert metrics.value("database_up", {"database": "main"}) == 1
    assert metrics.value("database_connections", {"database": "main", "state": "active"}) is not None
    await observer.close()


async def test_a_redis_that_hangs_is_told_of() -> None:
    metrics = MetricRegistry(redis_metrics.CATALOGUE)
    async with silence() as port:
        address = Address.parse(f"redis://127.0.0.1:{port}/0")
        observer = RedisObserver(address, metrics, name="test", patience=PATIENCE)
        async with asyncio.timeout(60):
            await observer.look()
        assert metrics.value("redis_up", {"server": f"127.0.0.1:{port}"}) == 0
        assert metrics.value("redis_memory_used_bytes", {"server": f"127.0.0.1:{port}"}) is None


@pytest.mark.needs("redis-server")
async def test_a_redis_tells_of_its_memory_and_of_keys_that_it_dropped() -> None:
    server = RedisServer("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
    try:
        await server.start()
        metrics = MetricRegistry(redis_metrics.CATALOGUE)
        observer = RedisObserver(Address.parse(server.url), metrics, name="test")
        await observer.look()

        def value(name: str) -> float:
            return metrics.value(name, {"server": f"127.0.0.1:{server.port}"}) or 0

        assert value("redis_up") == 1
        assert value("redis_memory_limit_bytes") == 3 * 1024 * 1024
        assert value("redis_memory_used_bytes") > 0
        assert value("redis_evicted_keys_total") == 0
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for number in range(400):
            writer.write(b"*3\r\n$3\r\nSET\r\n$4\r\n%04d\r\n$10000\r\n%b\r\n" % (number, b"x" * 10_000))
            await writer.drain()
            async with asyncio.timeout(60):
                await reader.readline()
        await observer.look()
        assert value("redis_evicted_keys_total") > 0
        writer.close()
        server.stop()
        await observer.look()
        assert value("redis_up") == 0
    finally:
        server.remove()


async def test_a_disk_that_hangs_keeps_one_thread_and_no_event_loop(tmp_path: Path) -> None:
    asked: list[Path] = []
    answers = threading.Event()

    def hang(path: Path) -> os.statvfs_result:
        asked.append(path)
        answers.wait(60)
        return os.statvfs(path)

    metrics = MetricRegistry(machine_metrics.CATALOGUE)
    observer = machine.MachineObserver(metrics, tmp_path, statistics=hang, patience=0.2)
    await observer.look()
    await observer.look()
    assert len(asked) == 1
    assert metrics.value("machine_disk_free_bytes", {"disk": "data"}) is None
    assert (metrics.value("machine_memory_limit_bytes") or 0) > 0
    answers.set()
    async with asyncio.timeout(60):
        while metrics.value("machine_disk_free_bytes", {"disk": "data"}) is None:
            await observer.look()
            await asyncio.sleep(0.01)
