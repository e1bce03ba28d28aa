"""Migrations on a real PostgreSQL: order, checksums, locks, failures, and ten migrators at once."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from roadworthy.database import driver, migration
from roadworthy.database.driver import Connection
from roadworthy.database.migration import Migration, Progress
from roadworthy.errors import DatabaseUnavailable, MigrationError

FIRST = "CREATE TABLE pages (id int PRIMARY KEY, url text);"
SECOND = "CREATE INDEX pages_url ON pages (url);"


class Files:
    """A directory of migrations that a test writes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, sql: str) -> Files:
        (self.directory / name).write_text(textwrap.dedent(sql))
        return self

    def load(self) -> tuple[Migration, ...]:
        return migration.load(self.directory, "app")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def two(files: Files) -> Files:
    return files.write("0001_pages.sql", FIRST).write("0002_pages_url.sql", SECOND)


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Connection]:
    opened = await driver.connect(dsn)
    yield opened
    await driver.close(opened)


async def tables(connection: Connection) -> set[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows}


async def recorded(connection: Connection) -> list[tuple[str, int, bool]]:
    rows = await connection.fetch("SELECT set, version, duration IS NOT NULL FROM roadworthy.migrations ORDER BY 1, 2")
    return [(row[0], row[1], row[2]) for row in rows]


async def states(connection: Connection, files: Files) -> list[str]:
    return [planned.state for planned in await migration.plan(connection, [files.load()])]


async def test_what_is_pending_is_applied_in_order_and_once(dsn: str, two: Files, connection: Connection) -> None:
    assert await states(connection, two) == ["pending", "pending"]
    events: list[Progress] = []
    applied = await migration.apply(dsn, [two.load()], on_progress=events.append)
    assert [item.version for item in applied] == [1, 2]
    assert [event.event for event in events] == ["applying", "applied"] * 2
    assert await recorded(connection) == [("app", 1, True), ("app", 2, True)]
    assert await states(connection, two) == ["applied", "applied"]
    assert await migration.apply(dsn, [two.load()]) == ()


async def test_a_server_that_is_too_old_is_refused_before_anything_is_applied(
    dsn: str, two: Files, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "OLDEST_SERVER", 99)
    with pytest.raises(MigrationError, match=r"the database runs PostgreSQL 18\.\d+; Roadworthy needs 99 or newer"):
        await migration.apply(dsn, [two.load()])
    assert await tables(connection) == set()


async def test_the_librarys_own_set_and_an_empty_one(dsn: str, files: Files, connection: Connection) -> None:
    own = migration.load("roadworthy.jobs", "roadworthy.jobs")
    assert await migration.apply(dsn, [own, files.load()]) == own
    assert {row[0] for row in await recorded(connection)} == {"roadworthy.jobs"}


async def test_ten_migrators_at_once_apply_each_file_once(dsn: str, files: Files, connection: Connection) -> None:
    files.write("0001_pages.sql", FIRST + "SELECT pg_sleep(0.3);").write("0002_pages_url.sql", SECOND)
    applied = await asyncio.gather(*(migration.apply(dsn, [files.load()]) for _ in range(10)))
    assert sorted(map(len, applied)) == [0] * 9 + [2]
    assert await recorded(connection) == [("app", 1, True), ("app", 2, True)]


async def test_a_changed_file_is_refused(dsn: str, two: Files) -> None:
    await migration.apply(dsn, [two.load()])
    two.write("0001_pages.sql", FIRST + " -- changed")
    with pytest.raises(MigrationError, match=r"0001_pages\.sql was changed .* next number"):
        await migration.apply(dsn, [two.load()])


async def test_line_endings_do_not_change_a_file(dsn: str, two: Files) -> None:
    two.write("0001_pages.sql", "CREATE TABLE pages (\n    url text\n);\n")
    await migration.apply(dsn, [two.load()])
    (two.directory / "0001_pages.sql").write_bytes(b"CREATE TABLE pages (\r\n    url text\r\n);\r\n")
    assert await migration.apply(dsn, [two.load()]) == ()


async def test_a_renamed_file_is_refused(dsn: str, two: Files) -> None:
    await migration.apply(dsn, [two.load()])
    (two.directory / "0002_pages_url.sql").rename(two.directory / "0002_other.sql")
    with pytest.raises(MigrationError, match=r"rename it back to 0002_pages_url\.sql"):
        await migration.apply(dsn, [two.load()])


async def test_a_missing_file_is_refused(dsn: str, two: Files) -> None:
    await migration.apply(dsn, [two.load()])
    (two.directory / "0002_pages_url.sql").unlink()
    with pytest.raises(MigrationError, match=r"0002_pages_url\.sql of 'app' .* missing"):
        await migration.apply(dsn, [two.load()])


async def test_a_file_before_an_applied_one_is_refused(dsn: str, two: Files, connection: Connection) -> None:
    await migration.apply(dsn, [two.load()])
    await connection.execute("DELETE FROM roadworthy.migrations WHERE version = 1")
    with pytest.raises(MigrationError, match="next free number"):
        await migration.apply(dsn, [two.load()])


async def test_a_failed_migration_leaves_nothing(dsn: str, files: Files, connection: Connection) -> None:
    files.write("0001_pages.sql", FIRST)
    files.write("0002_broken.sql", "CREATE TABLE half (id int);\n\nSELECT * FROM nowhere;")
    with pytest.raises(
        MigrationError, match=r'0002_broken\.sql failed in line 3: .*"nowhere".* Nothing of it was kept'
    ):
        await migration.apply(dsn, [files.load()])
    assert await tables(connection) == {"pages"}
    assert await recorded(connection) == [("app", 1, True)]
    files.write("0002_broken.sql", "CREATE TABLE whole (id int);")
    await migration.apply(dsn, [files.load()])
    assert await tables(connection) == {"pages", "whole"}


async def test_a_lost_connection_leaves_nothing(dsn: str, files: Files, connection: Connection) -> None:
    files.write("0001_dies.sql", FIRST + "SELECT pg_terminate_backend(pg_backend_pid());")
    with pytest.raises(MigrationError, match=r"0001_dies\.sql failed"):
        await migration.apply(dsn, [files.load()])
    assert await tables(connection) == set()


async def test_a_held_lock_is_given_up_and_tried_again(dsn: str, two: Files, connection: Connection) -> None:
    await migration.apply(dsn, [two.load()])
    two.write("0003_more.sql", "ALTER TABLE pages ADD COLUMN title text;")
    holding = connection.transaction()
    await holding.start()
    await connection.execute("SELECT * FROM pages")

    events: list[Progress] = []

    def release_later(progress: Progress) -> None:
        events.append(progress)
        if len([event for event in events if event.event == "retrying"]) == 2:
            releasing.set()

    releasing = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        migrating = group.create_task(
            migration.apply(dsn, [two.load()], lock_timeout=timedelta(milliseconds=50), on_progress=release_later)
        )
        await releasing.wait()
        await holding.rollback()
    assert [item.version for item in migrating.result()] == [3]
    assert "idle in transaction" in events[1].detail


async def test_a_lock_that_is_never_free_ends_in_advice(dsn: str, two: Files, connection: Connection) -> None:
    await migration.apply(dsn, [two.load()])
    two.write("0003_more.sql", "ALTER TABLE pages ADD COLUMN title text;")
    async with connection.transaction():
        await connection.execute("SELECT * FROM pages")
        with pytest.raises(MigrationError, match=r"in 2 attempts of 0\.05 s; nothing of it was kept.*End them"):
            await migration.apply(dsn, [two.load()], lock_timeout=timedelta(milliseconds=50), attempts=2)
    assert await states(connection, two) == ["applied", "applied", "pending"]


async def test_the_wait_for_another_migrator_is_bounded(dsn: str, two: Files, connection: Connection) -> None:
    await connection.execute("SELECT pg_advisory_lock($1)", migration._LOCK_KEY)
    events: list[Progress] = []
    with pytest.raises(MigrationError, match=r"another migrator, process \d+ \(roadworthy\)"):
        await migration.apply(dsn, [two.load()], lock_wait=timedelta(seconds=0.3), on_progress=events.append)
    assert [event.event for event in events] == ["waiting"]
    assert await tables(connection) == set()


async def test_outside_a_transaction_statements_run_one_by_one(dsn: str, two: Files, connection: Connection) -> None:
    two.write(
        "0003_online.sql",
        """\
        -- roadworthy: no-transaction
        -- Readers and writers go on meanwhile.
        CREATE INDEX CONCURRENTLY pages_both ON pages (id, url);
        DO $$ BEGIN PERFORM 1; PERFORM 2; END $$;
        DROP INDEX CONCURRENTLY pages_url;
        """,
    )
    await migration.apply(dsn, [two.load()])
    assert await connection.fetchval(
        "SELECT to_regclass('pages_both') IS NOT NULL AND to_regclass('pages_url') IS NULL"
    )
    assert await recorded(connection) == [("app", 1, True), ("app", 2, True), ("app", 3, True)]


async def test_concurrent_migrators_do_not_block_an_index_built_concurrently(dsn: str, two: Files) -> None:
    two.write(
        "0003_online.sql", "-- roadworthy: no-transaction\nCREATE INDEX CONCURRENTLY pages_both ON pages (id, url);"
    )
    applied = await asyncio.gather(*(migration.apply(dsn, [two.load()]) for _ in range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, 3]


async def test_a_failure_outside_a_transaction_is_marked_until_cleaned_up(
    dsn: str, two: Files, connection: Connection
) -> None:
    await migration.apply(dsn, [two.load()])
    await connection.execute("INSERT INTO pages VALUES (1, 'a'), (2, 'a')")
    two.write("0003_online.sql", "-- roadworthy: no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY one ON pages (url);")
    with pytest.raises(MigrationError, match=r"(?s)failed \(could not create unique index.*Invalid indexes: one\."):
        await migration.apply(dsn, [two.load()])
    with pytest.raises(MigrationError, match=r"0003_online\.sql was interrupted .*set = 'app' AND version = 3"):
        await migration.apply(dsn, [two.load()])
    assert await states(connection, two) == ["applied", "applied", "interrupted"]
    await connection.execute("DROP INDEX one; DELETE FROM pages; DELETE FROM roadworthy.migrations WHERE version = 3")
    assert len(await migration.apply(dsn, [two.load()])) == 1


async def test_a_cut_off_no_transaction_migration_is_marked(dsn: str, files: Files, connection: Connection) -> None:
    files.write(
        "0001_dies.sql", "-- roadworthy: no-transaction\nSELECT 1; SELECT pg_terminate_backend(pg_backend_pid());"
    )
    with pytest.raises(MigrationError, match=r"0001_dies\.sql"):
        await migration.apply(dsn, [files.load()])
    assert await states(connection, files) == ["interrupted"]


async def test_a_no_transaction_migration_that_did_nothing_is_not_marked(
    dsn: str, files: Files, connection: Connection
) -> None:
    files.write("0001_typo.sql", "-- roadworthy: no-transaction\nCREATE INDEX CONCURRENTLY i ON nowhere (a);")
    with pytest.raises(MigrationError, match="Nothing of it was kept"):
        await migration.apply(dsn, [files.load()])
    assert await states(connection, files) == ["pending"]


async def test_what_cannot_run_in_a_transaction_is_told_how(dsn: str, two: Files) -> None:
    two.write("0003_online.sql", "CREATE INDEX CONCURRENTLY pages_both ON pages (id, url);")
    with pytest.raises(MigrationError, match="Make '-- roadworthy: no-transaction' its first line"):
        await migration.apply(dsn, [two.load()])


async def test_a_missing_server_is_an_error_of_ours(two: Files) -> None:
    with pytest.raises(DatabaseUnavailable):
        await migration.apply("postgresql://x@/y?host=/nonexistent", [two.load()])


async def test_what_a_database_has_not_seen_is_pending_and_what_newer_code_added_is_not(
    files: Files, two: Files, connection: Connection, dsn: str
) -> None:
    older = two.load()
    assert await migration.pending(connection, [older]) == older

    newer = files.write("0003_more.sql", "CREATE TABLE more (id int);").load()
    await migration.apply(dsn, [newer])

    assert await migration.pending(connection, [newer]) == ()
    assert await migration.pending(connection, [older]) == ()
