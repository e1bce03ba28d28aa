"""What is told of a real PostgreSQL: connections, transactions, locks, deadlocks, size, statements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from roadworthy.database import driver
from roadworthy.database import metrics as database_metrics
from roadworthy.database.observer import DatabaseObserver
from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.telemetry.registry import MetricRegistry


class Scene:
    """An observer of the test's own database, and what it exports."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.metrics = MetricRegistry(database_metrics.CATALOGUE)
        self.observer = DatabaseObserver(dsn, "main", self.metrics, name="test observer")

    def value(self, series: str, **labels: str) -> float | None:
        return self.metrics.value(series, {"database": "main", **labels})

    async def until(self, condition: Callable[[], bool]) -> None:
        """Look until it is so: PostgreSQL tells of deadlocks a little later."""
        async with asyncio.timeout(60):
            while await self.observer.look() or not condition():
                await asyncio.sleep(0.05)


@pytest.fixture
async def scene(dsn: str) -> AsyncIterator[Scene]:
    made = Scene(dsn)
    try:
        yield made
    finally:
        await made.observer.close()


async def test_open_connections_are_counted_by_what_they_do_beside_how_many_there_may_be(scene: Scene) -> None:
    await scene.observer.look()
    assert scene.value("database_up") == 1
    before = {state: scene.value("database_connections", state=state) or 0 for state in ("idle", "idle_in_transaction")}
    async with AsyncExitStack() as open_ones:
        connections = [await driver.connect(scene.dsn) for _ in range(3)]
        for connection in connections:
            open_ones.push_async_callback(connection.close)
        await connections[0].execute("BEGIN")
        await scene.observer.look()
        assert scene.value("database_connections", state="idle") == before["idle"] + 2
        assert scene.value("database_connections", state="idle_in_transaction") == before["idle_in_transaction"] + 1
        most = int(await connections[1].fetchval("SHOW max_connections"))
        reserved = int(await connections[1].fetchval("SHOW superuser_reserved_connections"))
        assert scene.value("database_connections_limit") == most - reserved


async def test_a_transaction_that_stays_open_is_as_long_as_it_is(scene: Scene) -> None:
    connection = await driver.connect(scene.dsn)
    try:
        await connection.execute("BEGIN")
        await connection.execute("SELECT pg_sleep(0.3)")
        await scene.observer.look()
        open_for = scene.value("database_longest_transaction_seconds") or 0
        assert open_for >= 0.3
        await connection.execute("ROLLBACK")
        await scene.observer.look()
        assert (scene.value("database_longest_transaction_seconds") or 0) < open_for
    finally:
        await connection.close()


async def test_a_connection_that_waits_for_a_lock_and_a_deadlock_are_told_of(scene: Scene) -> None:
    one, other = await driver.connect(scene.dsn), await driver.connect(scene.dsn)
    try:
        await one.execute("SET deadlock_timeout = '100ms'")
        await other.execute("SET deadlock_timeout = '10s'")
        await one.execute("CREATE TABLE rows (id int PRIMARY KEY); INSERT INTO rows VALUES (1), (2)")
        await scene.observer.look()
        assert scene.value("database_deadlocks_total") == 0
        await one.execute("BEGIN; UPDATE rows SET id = id WHERE id = 1")
        await other.execute("BEGIN; UPDATE rows SET id = id WHERE id = 2")
        waiting = asyncio.create_task(other.execute("UPDATE rows SET id = id WHERE id = 1"))
        await scene.until(lambda: (scene.value("database_lock_waits") or 0) >= 1)
        with pytest.raises(driver.DeadlockDetected):
            await one.execute("UPDATE rows SET id = id WHERE id = 2")
        await one.execute("ROLLBACK")
        await waiting
        # A session reports what it counted when it is idle for a while, or ends.
        await one.close()
        await scene.until(lambda: scene.value("database_deadlocks_total") == 1)
    finally:
        await one.close()
        await other.close()


async def test_the_size_is_postgresqls_own_and_without_standbys_none_lags(scene: Scene, pool: Pool) -> None:
    await scene.observer.look()
    size = await pool.fetchval("SELECT pg_database_size(current_database())")
    assert (scene.value("database_size_bytes") or 0) == pytest.approx(size, rel=0.1)
    assert scene.value("database_standbys") == 0
    assert scene.value("database_replication_lag_seconds", standby="self") is None


async def test_a_user_who_may_see_little_still_tells_how_many_connections_there_are(scene: Scene, pool: Pool) -> None:
    role = f"stranger_{await pool.fetchval('SELECT current_database()')}"
    await pool.execute(f'CREATE ROLE "{role}" LOGIN')
    try:
        apart = Scene(f"postgresql://{role}@{scene.dsn.partition('@')[2]}")
        try:
            await apart.observer.look()
            await scene.observer.look()
            seen = [
                sum(one.value("database_connections", state=state) or 0 for state in ("active", "idle", "other"))
                for one in (apart, scene)
            ]
            assert apart.value("database_up") == 1
            assert (apart.value("database_connections", state="other") or 0) >= 1
            assert abs(seen[0] - seen[1]) <= 1
        finally:
            await apart.observer.close()
    finally:
        await pool.execute(f'DROP ROLE "{role}"')


async def test_a_database_that_is_not_there_is_down_and_nothing_else_is_said(scene: Scene) -> None:
    await scene.observer.look()
    away = Scene("postgresql://nobody@127.0.0.1:1/nothing")
    await away.observer.look()
    assert away.value("database_up") == 0
    assert away.value("database_connections_limit") is None
    assert away.value("database_connections", state="idle") is None
    await away.observer.close()


async def test_statements_are_timed_by_how_they_ended_without_those_of_the_pool_itself(dsn: str) -> None:
    metrics = MetricRegistry(database_metrics.CATALOGUE)
    timed = database_metrics.timing(metrics)
    async with await Pool.open(dsn, DatabaseSpec("main"), timed=timed) as pool:

        def ended(outcome: str, what: str = "count") -> float:
            return metrics.value(f"database_statement_seconds_{what}", {"outcome": outcome}) or 0

        for _ in range(3):
            await pool.fetchval("SELECT 1")
        await pool.fetchval("SELECT pg_sleep(0.2)")
        with pytest.raises(driver.PostgresError):
            await pool.execute("SELECT 1 / 0")
        sleeping = asyncio.create_task(pool.execute("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.1)
        sleeping.cancel()
        await asyncio.wait([sleeping])
        await asyncio.sleep(0)
        assert (ended("succeeded"), ended("failed"), ended("cancelled")) == (4, 1, 1)
        assert ended("succeeded", "sum") >= 0.2
