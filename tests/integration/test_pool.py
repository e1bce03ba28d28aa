"""A pool on a real PostgreSQL: joining, savepoints, turns, and what happens when connections die."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import timedelta

import pytest

from roadworthy.database import driver, metrics
from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.errors import DatabaseUnavailable, TransactionEnded
from roadworthy.runtime.embedded import binaries
from roadworthy.runtime.scratch import ScratchServer
from roadworthy.telemetry.registry import MetricRegistry

BACKEND = "SELECT pg_backend_pid()"


@pytest.fixture
async def notes(pool: Pool) -> Pool:
    await pool.execute("CREATE TABLE notes (id int PRIMARY KEY)")
    return pool


async def count(pool: Pool) -> int:
    async with pool.acquire() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM notes"))


async def add(pool: Pool, number: int) -> None:
    await pool.execute("INSERT INTO notes VALUES ($1)", number)


async def test_json_values_are_python_objects(pool: Pool) -> None:
    value = {"a": [1, None, "ü"]}
    row = await pool.fetchrow("SELECT $1::json AS plain, $1::jsonb AS binary, NULL::jsonb AS nothing", value)
    assert row is not None
    assert (row["plain"], row["binary"], row["nothing"]) == (value, value, None)


async def test_helpers_join_the_current_transaction(notes: Pool) -> None:
    async with notes.transaction() as connection:
        assert notes.current() is connection
        await add(notes, 1)
        await notes.executemany("INSERT INTO notes VALUES ($1)", [(2,), (3,)])
        assert await notes.fetchval(BACKEND) == await connection.fetchval(BACKEND)
        assert len(await notes.fetch("SELECT * FROM notes")) == 3
        assert await count(notes) == 0
    assert notes.current() is None
    assert await count(notes) == 3


async def test_an_exception_rolls_back(notes: Pool) -> None:
    with pytest.raises(ZeroDivisionError):
        async with notes.transaction():
            await add(notes, 1)
            raise ZeroDivisionError
    assert await count(notes) == 0


async def test_cancelling_rolls_back_and_frees_the_connection(notes: Pool) -> None:
    async def hold() -> None:
        async with notes.transaction():
            await add(notes, 1)
            await notes.execute("SELECT pg_sleep(60)")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await hold()
    assert await count(notes) == 0
    assert notes.statistics().used == 0


async def test_a_nested_transaction_is_a_savepoint(notes: Pool) -> None:
    async with notes.transaction():
        await add(notes, 1)
        with pytest.raises(driver.UniqueViolation):
            async with notes.transaction():
                await add(notes, 2)
                await add(notes, 1)
        async with notes.transaction() as inner:
            assert notes.current() is inner
            await add(notes, 3)
    assert [row["id"] for row in await notes.fetch("SELECT id FROM notes ORDER BY id")] == [1, 3]


async def test_isolation_and_readonly_reach_postgresql(pool: Pool) -> None:
    async with pool.transaction("serializable", readonly=True):
        assert await pool.fetchval("SHOW transaction_isolation") == "serializable"
        assert await pool.fetchval("SHOW transaction_read_only") == "on"


async def test_child_tasks_take_turns_on_the_transaction(notes: Pool) -> None:
    async with notes.transaction(), asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(asyncio.wait_for(add(notes, number), 60))
    assert await count(notes) == 20


async def test_siblings_wait_until_a_savepoint_ends(notes: Pool) -> None:
    inside = asyncio.Event()

    async def sibling() -> None:
        await inside.wait()
        await add(notes, 2)

    async with notes.transaction(), asyncio.TaskGroup() as group:
        group.create_task(sibling())
        with pytest.raises(ZeroDivisionError):
            async with notes.transaction():
                inside.set()
                await asyncio.sleep(0.05)
                await add(notes, 1)
                raise ZeroDivisionError
    assert [row["id"] for row in await notes.fetch("SELECT id FROM notes")] == [2]


async def test_a_task_that_outlives_its_transaction_is_told(notes: Pool) -> None:
    over = asyncio.Event()

    async def late() -> None:
        await over.wait()
        with pytest.raises(TransactionEnded, match="Await the task"):
            notes.current()
        await add(notes, 1)

    async with notes.transaction():
        task = asyncio.create_task(late())
    over.set()
    with pytest.raises(TransactionEnded):
        await task
    assert await count(notes) == 0


async def test_the_end_waits_for_a_statement_in_flight(notes: Pool) -> None:
    async with notes.transaction():
        task = asyncio.create_task(notes.execute("INSERT INTO notes SELECT 1 FROM pg_sleep(0.2)"))
        await asyncio.sleep(0.05)
    await task
    assert await count(notes) == 1


async def test_a_wait_inside_a_savepoint_for_an_outer_task_ends_with_advice(dsn: str) -> None:
    async with await Pool.open(dsn, DatabaseSpec("main"), acquire_timeout=timedelta(seconds=1)) as pool:
        with pytest.raises(DatabaseUnavailable, match="begun outside"):
            async with pool.transaction():
                outer = asyncio.create_task(pool.fetchval("SELECT 1"))
                async with pool.transaction():
                    await outer


async def test_a_full_pool_says_so(dsn: str) -> None:
    spec = DatabaseSpec("main", pool=(1, 1))
    async with await Pool.open(dsn, spec, acquire_timeout=timedelta(seconds=0.5)) as pool, pool.acquire():
        assert pool.statistics().used == pool.statistics().largest == 1
        with pytest.raises(DatabaseUnavailable, match="raise pool="):
            await pool.fetchval("SELECT 1")
        assert pool.statistics().waiting == 0


async def test_settings_reach_every_connection(dsn: str) -> None:
    async with await Pool.open(
        dsn, DatabaseSpec("main"), application_name="tester", statement_timeout=timedelta(seconds=0.5)
    ) as pool:
        assert await pool.fetchval("SHOW application_name") == "tester"
        assert await pool.fetchval("SHOW idle_in_transaction_session_timeout") == "5min"
        with pytest.raises(driver.PostgresError, match="statement timeout"):
            await pool.execute("SELECT pg_sleep(10)")


async def test_a_killed_backend_does_not_poison_the_pool(notes: Pool) -> None:
    with pytest.raises(driver.LOST):
        async with notes.transaction() as connection:
            await add(notes, 1)
            backend = await connection.fetchval(BACKEND)
            async with notes.acquire() as other:
                await other.execute("SELECT pg_terminate_backend($1, 5000)", backend)
            await add(notes, 2)
    assert await count(notes) == 0
    async with notes.transaction():
        await add(notes, 3)
    assert await count(notes) == 1


async def test_the_pool_survives_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = ScratchServer()
    try:
        await server.start()
        async with await Pool.open(server.postgres.dsn, DatabaseSpec("main", pool=(1, 3))) as pool:
            before = await pool.fetchval(BACKEND)
            restarting = asyncio.create_task(server.postgres.restart())
            await asyncio.sleep(0.05)
            assert await pool.fetchval("SELECT 1") == 1
            await restarting
            assert await pool.fetchval(BACKEND) != before
    finally:
        await server.stop()


@pytest.mark.parametrize(
    "dsn", ["postgresql://me:secret@/nowhere?host=/nonexistent", "postgresql://me:secret@127.0.0.1:1/none"]
)
async def test_an_absent_server_is_named_without_its_password(dsn: str) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        await Pool.open(dsn, DatabaseSpec("main"), connect_timeout=timedelta(seconds=0.2))
    assert "secret" not in str(caught.value)
    assert "me:***@" in str(caught.value)


async def test_a_missing_database_fails_at_once(postgres_server: ScratchServer) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        await Pool.open(postgres_server.postgres.dsn_of("absent"), DatabaseSpec("main"))


async def test_close_does_not_wait_for_ever(dsn: str) -> None:
    pool = await Pool.open(dsn, DatabaseSpec("main"))
    async with pool.acquire():
        await pool.close(timeout=timedelta(seconds=0.1))
    with pytest.raises(DatabaseUnavailable):
        await pool.fetchval("SELECT 1")


async def test_a_scrape_reads_the_pool_as_it_stands(pool: Pool) -> None:
    registry = MetricRegistry(metrics.CATALOGUE)
    metrics.track(registry, pool.statistics)
    async with pool.acquire():
        assert registry.value("database_pool_used") == 1
    assert registry.value("database_pool_used") == 0
    assert registry.value("database_pool_idle") == 1
    assert registry.value("database_pool_limit") == 5
    assert registry.value("database_pool_waiting") == 0


async def test_connections_that_ended_unnoticed_are_replaced(dsn: str) -> None:
    async with await Pool.open(dsn, DatabaseSpec("main", pool=(3, 3))) as pool:
        ending = (
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        # A blocking call, so that the loop has no chance to see the connections end.
        subprocess.run([binaries() / "psql", dsn, "-qAtc", ending], timeout=30, check=True, stdout=subprocess.DEVNULL)
        async with pool.transaction():
            assert await pool.fetchval("SELECT 1") == 1
        assert await pool.fetchval("SELECT 1") == 1


async def test_cancelling_the_wait_for_a_statement_in_flight_undoes_all(notes: Pool) -> None:
    children: asyncio.Queue[asyncio.Task[str]] = asyncio.Queue()

    async def hold() -> None:
        async with notes.transaction():
            await add(notes, 1)
            children.put_nowait(asyncio.create_task(notes.execute("SELECT pg_sleep(60)")))
            await asyncio.sleep(0.05)

    holding = asyncio.create_task(hold())
    child = await children.get()
    await asyncio.sleep(0.25)
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    with pytest.raises(driver.LOST):
        await child
    assert await count(notes) == 0
    assert notes.statistics().used == 0
