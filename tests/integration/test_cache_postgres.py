"""What is particular to the store in PostgreSQL: batches, plans, sweeping, a full disk, transactions of the caller."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from roadworthy.cache.postgres import LONGEST_NAME, PostgresStore
from roadworthy.cache.postgres_listener import LARGEST_PAYLOAD, changes_of, channel_of, line_of
from roadworthy.cache.record import Entry, encode
from roadworthy.cache.store import Change, StoreDown, StoreRefused, Write
from roadworthy.database import driver, migration, queries
from roadworthy.database.sweeping import STEP, Sweep

SQL = queries.load_queries("roadworthy.cache")
TIMEOUT = timedelta(seconds=60)


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Any]:
    await migration.apply(dsn, [migration.load("roadworthy.cache", "roadworthy.cache")])
    opened = await driver.connect(dsn)
    yield opened
    await driver.close(opened)


@pytest.fixture
async def store(dsn: str, connection: Any) -> AsyncIterator[PostgresStore]:
    async with PostgresStore.open(dsn, service="shop", node=1, timeout=TIMEOUT) as opened:
        yield opened


def write(name: str, stamp: int = 5, lifetime: float = 600, data: bytes = b"") -> Write:
    return Write(name, encode(Entry(data, stamp, 2e9, 2e9)), stamp, lifetime)


async def calls(connection: Any, statement: str) -> int:
    """Return how often a statement of this database was run."""
    found = await connection.fetchval(
        "SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE $1 AND dbid = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())",
        f"%{statement}%",
    )
    return int(found or 0)


async def test_what_one_turn_asks_for_is_one_statement(store: PostgresStore, connection: Any) -> None:
    names = [f"k{n}" for n in range(50)]
    await asyncio.gather(*(store.write([write(name)]) for name in names))
    assert await calls(connection, "INSERT INTO roadworthy.cache_entries") == 1
    found = await asyncio.gather(*(store.get(name) for name in [*names, *names]))
    assert found == [write(name).record for name in [*names, *names]]
    assert await calls(connection, "FROM roadworthy.cache_entries\nWHERE name = ANY") == 1
    assert all(await asyncio.gather(*(store.acquire(name, "token", 60) for name in names)))
    assert await calls(connection, "INSERT INTO roadworthy.cache_locks") == 1


async def test_a_cache_takes_no_part_in_the_callers_transaction(store: PostgresStore, connection: Any) -> None:
    async with connection.transaction():
        await connection.execute("LOCK TABLE roadworthy.cache_tags IN SHARE MODE")
        await store.write([write("a")])
        assert await store.get("a") == write("a").record


@pytest.mark.parametrize("analysed", ["when empty", "when full", "never"])
async def test_reads_and_writes_walk_the_primary_key_whatever_statistics_say(connection: Any, analysed: str) -> None:
    await connection.execute(SQL["configure"], "60000")
    if analysed == "when empty":
        await connection.execute("VACUUM ANALYZE roadworthy.cache_entries")
    await connection.execute(
        "INSERT INTO roadworthy.cache_entries SELECT 5, now() + interval '1 hour', convert_to('k' || n, 'UTF8'), '' "
        "FROM generate_series(1, 20000) AS n"
    )
    if analysed == "when full":
        await connection.execute("VACUUM ANALYZE roadworthy.cache_entries")
    names = [f"k{n}".encode() for n in range(1, 201)]
    for statement, arguments, most in (
        ("read_entries", [names], 3 * 200),
        ("list_names", [b"k", b"k\xff", 100], 300),
        ("sweep_entries", [(0, 0), (8, 0)], 100),
    ):
        found = await connection.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, GENERIC_PLAN off, FORMAT JSON) {SQL[statement]}", *arguments
        )
        plan = found[0]["Plan"]
        assert "Seq Scan" not in str(plan), statement
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= most, statement


async def test_a_name_that_is_too_long_is_refused_before_it_is_sent(store: PostgresStore) -> None:
    await store.write([write("ü" * (LONGEST_NAME // 2))])
    longer = "ü" * (LONGEST_NAME // 2) + "x"
    for call in (
        store.get(longer),
        store.get_many(["a", longer]),
        store.write([write("a"), write(longer)]),
        store.invalidate([longer], lifetime=60),
        store.tag_stamps([longer]),
        store.acquire(longer, "token", 60),
    ):
        with pytest.raises(ValueError, match="hash its end"):
            await call
    assert await store.get("a") is None


def test_the_longest_name_fits_in_a_payload_whatever_is_in_it() -> None:
    line = line_of("delete", (1 << 63) - 1, "\x00" * LONGEST_NAME)
    assert len(line.encode()) + 100 < LARGEST_PAYLOAD
    assert changes_of(f"[4095,[{line}]]") == [Change("delete", "\x00" * LONGEST_NAME, (1 << 63) - 1, 4095)]


def test_a_service_has_a_channel_of_its_own_however_long_its_name_is() -> None:
    assert channel_of("shop") == "roadworthy_cache_shop"
    long = [channel_of("shop" * 20 + end) for end in "ab"]
    assert len(set(long)) == 2
    assert max(map(len, long)) <= 63


async def test_what_cannot_be_written_leaves_nothing_older_behind(store: PostgresStore, connection: Any) -> None:
    heard: list[Change] = []
    await store.write([write("a", 5), write("b", 9)])
    # Stands for a disk that is full.
    await connection.execute("ALTER TABLE roadworthy.cache_entries ADD CHECK (length(record) < 1000) NOT VALID")
    async with store.listening(heard.append, lambda: None):
        with pytest.raises(StoreRefused):
            await store.write([write("a", 6, data=bytes(2000)), write("b", 8)])
        assert await store.get_many(["a", "b"]) == [None, write("b", 9).record]
        assert await store.write([write("a", 7)]) == [True]
        async with asyncio.timeout(60):
            while len(heard) < 3:
                await asyncio.sleep(0.01)
    assert [(change.name, change.stamp) for change in heard] == [("a", 6), ("b", 8), ("a", 7)]


async def test_without_its_tables_the_store_is_down(dsn: str) -> None:
    async with PostgresStore.open(dsn, service="shop", node=1, timeout=TIMEOUT) as store:
        with pytest.raises(StoreDown, match="does not exist"):
            await store.get("a")
        with pytest.raises(StoreDown, match="does not exist"):
            await store.write([write("a")])


async def test_tables_emptied_by_hand_are_used_again(store: PostgresStore, connection: Any) -> None:
    await store.write([write("a")])
    await connection.execute(
        "TRUNCATE roadworthy.cache_entries, roadworthy.cache_tags, roadworthy.cache_locks, roadworthy.cache_epoch"
    )
    assert await store.write([write("a")]) == [False]
    now = int(await store.now() * 1_000_000) << 12
    assert await store.write([write("a", now + (1 << 30))]) == [True]


async def test_what_has_expired_is_removed_as_rows_are_written(store: PostgresStore, connection: Any) -> None:
    await store.write([write(f"old{n}", lifetime=0.01, data=bytes(500)) for n in range(3000)])
    await asyncio.sleep(0.05)
    count = "SELECT count(*) FROM roadworthy.cache_entries WHERE expires_at < now()"
    assert await connection.fetchval(count) > 0
    for _ in range(40):
        await store.write([write(f"new{n}") for n in range(100)])
        if await connection.fetchval(count) == 0:
            break
    assert await connection.fetchval(count) == 0
    assert await connection.fetchval("SELECT count(*) FROM roadworthy.cache_entries") == 100


async def test_a_sweep_walks_all_pages_and_begins_again() -> None:
    asked: list[tuple[int, int]] = []

    async def fetch(_statement: str, first: tuple[int, int], after: tuple[int, int]) -> list[tuple[int, int]]:
        asked.append((first[0], after[0]))
        return [(1, 3 * STEP)]

    started: list[str] = []
    sweep = Sweep("sweep_entries", started.append, share=random.Random(1))
    sweep.wrote(STEP - 1)
    assert started == []
    sweep.wrote(1)
    assert started == ["sweep_entries"]
    for _ in range(8):
        assert await sweep.step(fetch) == 1
    starts = [first for first, after in asked if after - first == STEP]
    assert len(starts) == 8
    # One step at the beginning tells how long the table is; then from anywhere, round and round.
    again = starts[starts.index(0, 1) :]
    assert again == [n % 3 * STEP for n in range(len(again))]
    assert len(again) >= 3
