"""What is particular to limits in PostgreSQL: batches, the function for SQL, removing what is over, the plan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from roadworthy.database import driver, migration
from roadworthy.database.sweeping import STEP
from roadworthy.limits.postgres import PostgresStore
from roadworthy.limits.quota import Quota
from roadworthy.limits.store import Counter, StoreDown
from roadworthy.outage import StoreRefused

TIMEOUT = timedelta(seconds=60)
MANY = Quota.parse("1000/minute")
ROWS = "SELECT count(*) FROM roadworthy.rate_limits WHERE key <> ''"


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Any]:
    await migration.apply(dsn, [migration.load("roadworthy.limits", "roadworthy.limits")])
    opened = await driver.connect(dsn)
    yield opened
    await driver.close(opened)


@pytest.fixture
async def store(dsn: str, connection: Any) -> AsyncIterator[PostgresStore]:
    async with PostgresStore.open(dsn, timeout=TIMEOUT) as opened:
        yield opened


async def test_all_who_ask_meanwhile_are_answered_by_one_statement(store: PostgresStore, connection: Any) -> None:
    async def statements() -> int:
        found = await connection.fetchval(
            "SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE '%take_rate_limits($1%' AND dbid = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return int(found or 0)

    before = await statements()
    answers = await asyncio.gather(*(store.take([Counter(f"key {n % 10}", MANY)]) for n in range(150)))
    assert all(verdict.granted == 1 for (verdict,) in answers)
    assert await statements() - before == 1


async def test_what_is_over_is_removed_as_new_keys_come(store: PostgresStore, connection: Any) -> None:
    await asyncio.gather(*(store.take([Counter(f"old {n}", MANY)]) for n in range(300)))
    await connection.execute("UPDATE roadworthy.rate_limits SET expires_at = now() - interval '1 minute'")
    async with asyncio.timeout(60):
        number = 0
        while await connection.fetchval(f"{ROWS} AND expires_at < now()"):
            await asyncio.gather(*(store.take([Counter(f"new {number} {n}", MANY)]) for n in range(STEP)))
            number += 1
    assert await connection.fetchval(ROWS) == number * STEP
    assert (await store.take([Counter("old 1", MANY)]))[0].remaining == 999


async def test_counters_that_are_refused_keep_nothing(store: PostgresStore, connection: Any) -> None:
    await store.take([Counter("too few", Quota.parse("1/minute"))], 2)
    assert await connection.fetchval(f"{ROWS} AND expires_at > now()") == 0


async def test_the_primary_key_is_used_however_large_the_table_has_become(
    store: PostgresStore, connection: Any
) -> None:
    await connection.execute(
        "INSERT INTO roadworthy.rate_limits (key, expires_at) "
        "SELECT convert_to('row ' || n, 'UTF8'), 'infinity' FROM generate_series(1, 20000) AS n"
    )
    looked = "SELECT seq_tup_read, idx_scan FROM pg_stat_user_tables WHERE relname = 'rate_limits'"
    read, _ = await connection.fetchrow(looked)
    for n in range(10):
        await store.take([Counter(f"row {n}", MANY)])
        assert await connection.fetchval("SELECT roadworthy.check_rate_limit('key', 5, 60)") == (n < 5)
    # Sessions tell of what they read when they end at the latest.
    await store.close()
    await connection.execute("SELECT pg_stat_force_next_flush()")
    async with asyncio.timeout(60):
        while (await connection.fetchrow(looked))["idx_scan"] < 20:
            await asyncio.sleep(0.05)
    assert (await connection.fetchrow(looked))["seq_tup_read"] == read


async def check(connection: Any, key: str | None, most: int | None, seconds: int | None) -> bool:
    return bool(await connection.fetchval("SELECT roadworthy.check_rate_limit($1, $2, $3)", key, most, seconds))


async def test_sql_can_ask_whether_one_more_is_within_a_limit(connection: Any) -> None:
    assert [await check(connection, "signup", 3, 60) for _ in range(5)] == [True, True, True, False, False]
    assert await check(connection, "another", 3, 60)
    assert [await check(connection, "x" * 10_000, 1, 60) for _ in range(2)] == [True, False]
    assert await check(connection, "x" * 9_999, 1, 60)
    assert [await check(connection, "soon", 1, 1) for _ in range(2)] == [True, False]
    async with asyncio.timeout(60):
        while not await check(connection, "soon", 1, 1):
            await asyncio.sleep(0.05)


async def test_a_transaction_that_is_rolled_back_has_used_nothing(connection: Any) -> None:
    block = connection.transaction()
    await block.start()
    assert await check(connection, "signup", 1, 60)
    assert not await check(connection, "signup", 1, 60)
    await block.rollback()
    assert await check(connection, "signup", 1, 60)


@pytest.mark.parametrize("wrong", [(None, 5, 60), ("key", 0, 60), ("key", 5, -1), ("key", None, 60), ("key", 5, None)])
async def test_sql_is_told_what_cannot_be_a_limit(connection: Any, wrong: tuple[Any, Any, Any]) -> None:
    with pytest.raises(driver.PostgresError, match="needs a key, and whole numbers from 1") as caught:
        await check(connection, *wrong)
    assert caught.value.sqlstate == "22023"


async def test_many_sessions_of_sql_are_let_through_as_often_as_is_said(dsn: str, connection: Any) -> None:
    sessions = [await driver.connect(dsn) for _ in range(6)]
    try:
        answers = await asyncio.gather(*(_checks(one) for one in sessions))
    finally:
        for one in sessions:
            await driver.close(one)
    assert sum(answers) == 20


async def _checks(connection: Any) -> int:
    return sum([await check(connection, "shared", 20, 3600) for _ in range(20)])


async def test_a_table_that_goes_away_is_a_refusal(store: PostgresStore, connection: Any) -> None:
    await store.take([Counter("key", MANY)])
    await connection.execute("ALTER TABLE roadworthy.rate_limits RENAME TO elsewhere")
    with pytest.raises(StoreRefused, match="rate_limits"):
        await store.take([Counter("key", MANY)])


async def test_without_its_table_it_counts_as_gone(dsn: str) -> None:
    async with PostgresStore.open(dsn, timeout=TIMEOUT) as store:
        with pytest.raises(StoreDown, match="does not exist"):
            await store.take([Counter("key", MANY)])
