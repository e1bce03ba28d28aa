"""Migrations: what they are, which are due, and the rules that the files and the database's history must meet.

A set is a directory of files `0001_name.sql`, `0002_name.sql` and so on. What has been applied is never edited, renamed
or removed, and nothing is put in before it: every database has then seen the same statements in the same order.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import takewhile
from pathlib import Path
from typing import Literal

from roadworthy.database import driver, queries
from roadworthy.database.driver import Connection, Record
from roadworthy.database.statements import split
from roadworthy.errors import MigrationError

State = Literal["applied", "pending", "interrupted"]

NO_TRANSACTION = "-- roadworthy: no-transaction"

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_DIRECTIVE = re.compile(r"--\s*roadworthy:\s*(.*?)\s*")
_LOCK_KEY = int.from_bytes(b"Roadwort")
_NOT_IN_A_TRANSACTION = "25001"
_LOCK_POLL = 0.1
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0
_CONTROL = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"})


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of a set. `checksum` is the SHA-256 of its text with Unix line endings, in hexadecimal."""

    set: str
    version: int
    name: str
    file: str
    sql: str
    checksum: str
    transactional: bool


@dataclass(frozen=True, slots=True)
class Planned:
    """A migration and what the database's history says of it."""

    migration: Migration
    state: State
    applied_at: datetime | None = None


OLDEST_SERVER = 18


@dataclass(frozen=True, slots=True)
class Progress:
    """What `apply` is doing: waiting for another migrator, applying a file, trying it again, or done with it."""

    event: Literal["waiting", "applying", "retrying", "applied"]
    migration: Migration | None = None
    detail: str = ""


def load(source: Path | str, set_name: str) -> tuple[Migration, ...]:
    """Read a set, in order, from a directory, or from the directory `migrations` of a package given by its name.

    Raises MigrationError for a missing directory, and for a file whose name, number or content breaks a rule.
    """
    directory: Traversable = resources.files(source) / "migrations" if isinstance(source, str) else source
    if not directory.is_dir():
        raise MigrationError(f"{directory} is no directory; create it, or correct migrations= in service.database()")
    files = sorted(
        (entry for entry in directory.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name
    )
    migrations = tuple(_read(entry, set_name) for entry in files)
    for number, migration in enumerate(migrations, start=1):
        if migration.version == number - 1:
            raise MigrationError(
                f"{migration.file} and another file share the number {migration.version:04}; renumber one"
            )
        if migration.version != number:
            raise MigrationError(
                f"{migration.file} follows number {number - 1:04}; numbers count from 0001 without a gap. Rename it to "
                f"{number:04}_{migration.name}.sql, or bring {number:04} back"
            )
    return migrations


async def plan(connection: Connection, sets: Iterable[Sequence[Migration]]) -> tuple[Planned, ...]:
    """Compare the sets with the history of the database, changing nothing; what is to be done is in state "pending".

    Raises MigrationError when an applied file was changed, renamed or is missing, or a new one comes before it.
    """
    history: dict[str, list[Record]] = defaultdict(list)
    if await connection.fetchval(_sql("history_exists")):
        for row in await connection.fetch(_sql("read_history")):
            history[row["set"]].append(row)
    return tuple(planned for migrations in sets for planned in _compare(migrations, history))


async def pending(connection: Connection, sets: Iterable[Sequence[Migration]]) -> tuple[Migration, ...]:
    """Return what the database has not seen of the sets. It may have seen more: that of a newer version of the code."""
    seen: set[tuple[str, int]] = set()
    if await connection.fetchval(_sql("history_exists")):
        rows = await connection.fetch(_sql("read_history"))
        seen = {(row["set"], row["version"]) for row in rows if row["applied_at"] is not None}
    return tuple(one for migrations in sets for one in migrations if (one.set, one.version) not in seen)


async def apply(
    dsn: str,
    sets: Iterable[Sequence[Migration]],
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    lock_wait: timedelta = timedelta(minutes=5),
    lock_timeout: timedelta = timedelta(seconds=5),
    attempts: int = 5,
) -> tuple[Migration, ...]:
    """Apply what is pending, in order, and return it. However many call this at once, each migration runs once.

    `lock_wait` bounds the wait for another migrator. A statement that waits for a table lock for `lock_timeout` gives
    up, so that the service's queries do not queue up behind it, and its migration is tried `attempts` times.

    Raises MigrationError as `plan` does, and for a migration that fails, of which nothing is kept; DatabaseUnavailable
    when PostgreSQL cannot be reached. The DSN must reach PostgreSQL itself or a pooler in session mode.
    """
    chosen = tuple(tuple(migrations) for migrations in sets)
    connection = await driver.connect(dsn, application_name="roadworthy migrate", command_timeout=None)
    run = _Run(connection, on_progress, lock_wait, lock_timeout, attempts)
    try:
        _check_version(connection)
        if all(planned.state == "applied" for planned in await plan(connection, chosen)):
            return ()
        await run.lock()
        return await run.apply(chosen)
    finally:
        # Closing the session also gives the advisory lock back, whatever state the session is in.
        await driver.close(connection)


def _check_version(connection: Connection) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        raise MigrationError(
            f"the database runs PostgreSQL {version.major}.{version.minor}; Roadworthy needs {OLDEST_SERVER} or newer, "
            "since its statements return old values. Upgrade the server, or unset DATABASE_URL to use the embedded one"
        )


class _Run:
    """One migrator's session."""

    def __init__(
        self,
        connection: Connection,
        on_progress: Callable[[Progress], None],
        lock_wait: timedelta,
        lock_timeout: timedelta,
        attempts: int,
    ) -> None:
        self._connection = connection
        self._on_progress = on_progress
        self._lock_wait = lock_wait
        self._lock_timeout = lock_timeout
        self._attempts = attempts

    async def lock(self) -> None:
        """Become the only migrator of this database."""
        try:
            async with asyncio.timeout(self._lock_wait.total_seconds()):
                if await self._connection.fetchval(_sql("try_lock"), _LOCK_KEY):
                    return
                self._on_progress(Progress("waiting", detail=await self._lock_holder()))
                while not await self._connection.fetchval(_sql("try_lock"), _LOCK_KEY):
                    await asyncio.sleep(_LOCK_POLL)
        except TimeoutError:
            raise MigrationError(
                f"another migrator, {await self._lock_holder()}, held the lock for "
                f"{self._lock_wait.total_seconds():g} s. Wait for it, or end it if it hangs, and migrate again"
            ) from None

    async def apply(self, sets: Sequence[Sequence[Migration]]) -> tuple[Migration, ...]:
        """Apply what is pending in the sets."""
        await self._connection.execute(_sql("create_history"))
        applied = []
        for planned in await plan(self._connection, sets):
            migration = planned.migration
            if planned.state == "interrupted":
                raise MigrationError(await self._half_done(migration, "was interrupted in an earlier run"))
            if planned.state == "pending":
                await (
                    self._in_transaction(migration)
                    if migration.transactional
                    else self._statement_by_statement(migration)
                )
                self._on_progress(Progress("applied", migration))
                applied.append(migration)
        return tuple(applied)

    async def _in_transaction(self, migration: Migration) -> None:
        self._on_progress(Progress("applying", migration))
        for attempt, delay in zip(range(1, self._attempts + 1), _delays(), strict=False):
            try:
                async with self._connection.transaction():
                    await self._connection.execute(_sql("configure_transaction"), _milliseconds(self._lock_timeout))
                    await self._connection.execute(_sql("begin_migration"), *_identity(migration))
                    await self._connection.execute(migration.sql)
                    await self._connection.execute(_sql("finish_migration"), migration.set, migration.version)
                return
            except (driver.LockNotAvailable, driver.DeadlockDetected) as error:
                blockers = (
                    await self._connection.fetchval(_sql("lock_blockers")) or "a transaction that has ended since"
                )
                if attempt == self._attempts:
                    raise MigrationError(
                        f"{migration.file} did not get its locks in {attempt} attempts of "
                        f"{self._lock_timeout.total_seconds():g} s; nothing of it was kept. The oldest open "
                        f"transactions: {blockers}. End them, or migrate when the service is less busy"
                    ) from error
                self._on_progress(Progress("retrying", migration, f"locks are held by {blockers}"))
            except (driver.PostgresError, *driver.LOST) as error:
                raise MigrationError(_failure(migration, error)) from error
            await asyncio.sleep(delay)

    async def _statement_by_statement(self, migration: Migration) -> None:
        self._on_progress(Progress("applying", migration))
        await self._connection.execute(_sql("begin_migration"), *_identity(migration))
        # What runs outside a transaction waits long for locks, but lets the service's queries pass meanwhile.
        await self._connection.execute(_sql("configure_session"), _milliseconds(self._lock_wait))
        done = 0
        try:
            for statement in split(migration.sql):
                await self._connection.execute(statement.sql)
                done += 1
        except driver.LOST as error:
            raise MigrationError(
                f"{migration.file} was cut off: {error}. Migrate again to see what is to be done"
            ) from error
        except driver.PostgresError as error:
            if not done and not await self._connection.fetchval(_sql("invalid_indexes")):
                await self._connection.execute(_sql("forget_migration"), migration.set, migration.version)
                raise MigrationError(_failure(migration, error)) from error
            raise MigrationError(await self._half_done(migration, f"failed ({error})")) from error
        await self._connection.execute(_sql("unconfigure_session"))
        await self._connection.execute(_sql("finish_migration"), migration.set, migration.version)

    async def _half_done(self, migration: Migration, what: str) -> str:
        invalid = await self._connection.fetchval(_sql("invalid_indexes")) or "none"
        row = f"set = '{migration.set}' AND version = {migration.version}"
        return (
            f"{migration.file} {what}. It runs outside a transaction, so a part of it may have been kept. Invalid "
            f"indexes: {invalid}. Drop those and undo what else it did, then remove its row, the one with {row}, from "
            "roadworthy.migrations, and migrate again"
        )

    async def _lock_holder(self) -> str:
        return await self._connection.fetchval(_sql("lock_holder"), _LOCK_KEY) or "which has just finished"


def _compare(migrations: Sequence[Migration], history: Mapping[str, Sequence[Record]]) -> Iterator[Planned]:
    rows = {row["version"]: row for row in history[migrations[0].set]} if migrations else {}
    latest = max((version for version, row in rows.items() if row["applied_at"] is not None), default=0)
    for migration in migrations:
        row = rows.pop(migration.version, None)
        if row is None:
            if migration.version < latest:
                raise MigrationError(
                    f"{migration.file} is new, but number {latest:04} was applied already; give it the next free number"
                )
            yield Planned(migration, "pending")
            continue
        if row["name"] != migration.name:
            raise MigrationError(
                f"{migration.file} was applied under the name {row['name']!r}; rename it back to "
                f"{migration.version:04}_{row['name']}.sql, and give a new migration a new number"
            )
        if row["applied_at"] is None:
            yield Planned(migration, "interrupted")
            continue
        if row["checksum"] != migration.checksum:
            raise MigrationError(
                f"{migration.file} was changed after it was applied on {row['applied_at']:%Y-%m-%d %H:%M} UTC; restore "
                "its text, and put the change in a new file with the next number"
            )
        yield Planned(migration, "applied", row["applied_at"])
    if rows:
        version, row = min(rows.items())
        raise MigrationError(
            f"migration {version:04}_{row['name']}.sql of {migrations[0].set!r} was applied to this database, but its "
            "file is missing; bring it back, or migrate with the newer release that has it"
        )


def _read(entry: Traversable, set_name: str) -> Migration:
    named = _FILE_NAME.fullmatch(entry.name)
    if named is None:
        raise MigrationError(f"{entry} is no name for a migration; rename it as in 0001_create_pages.sql")
    sql = entry.read_bytes().decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    transactional = _is_transactional(sql, str(entry))
    for statement in split(sql):
        if statement.words[:1] and statement.words[0] in _CONTROL:
            raise MigrationError(
                f"{entry} holds {statement.words[0]}, but a migration is one transaction already. Remove it, or make "
                f"{NO_TRANSACTION!r} the first line and leave the file without transactions"
            )
    checksum = hashlib.sha256(sql.encode()).hexdigest()
    return Migration(set_name, int(named[1]), named[2], str(entry), sql, checksum, transactional)


def _is_transactional(sql: str, file: str) -> bool:
    for line in takewhile(lambda line: not line or line.startswith("--"), map(str.strip, sql.splitlines())):
        if directive := _DIRECTIVE.fullmatch(line):
            if line != NO_TRANSACTION:
                raise MigrationError(f"{file} asks for {directive[1]!r}; the only such line is {NO_TRANSACTION!r}")
            return False
    return True


def _failure(migration: Migration, error: BaseException) -> str:
    position, place = getattr(error, "position", None), ""
    if position is not None:
        place = f" in line {migration.sql.count(chr(10), 0, int(position) - 1) + 1}"
    fix = "Correct it and migrate again"
    if getattr(error, "sqlstate", None) == _NOT_IN_A_TRANSACTION:
        fix = f"Make {NO_TRANSACTION!r} its first line"
    return f"{migration.file} failed{place}: {error}. Nothing of it was kept. {fix}"


def _identity(migration: Migration) -> tuple[str, int, str, str]:
    return migration.set, migration.version, migration.name, migration.checksum


def _delays() -> Iterator[float]:
    delay = _FIRST_DELAY
    while True:
        yield delay
        delay = min(delay * 2, _LONGEST_DELAY)


def _milliseconds(duration: timedelta) -> str:
    return str(round(duration.total_seconds() * 1000))


def _sql(name: str) -> str:
    return queries.load_queries("roadworthy.database")[name]
