"""A pool of connections whose current transaction every helper joins.

The current transaction lives in a context variable, so a function deep in a call joins it without being handed a
connection, and so does a child task, which inherits the context. One connection runs one statement at a time, so the
joining calls take turns. A child task that outlives its transaction gets TransactionEnded, never another connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, TypeVar

from roadworthy.database import driver
from roadworthy.database.driver import Connection, Record
from roadworthy.database.spec import DatabaseSpec
from roadworthy.errors import DatabaseUnavailable, TransactionEnded

Isolation = Literal["read_committed", "repeatable_read", "serializable"]

AfterCommit = Callable[[], Awaitable[object]]

_Result = TypeVar("_Result")

_FIRST_RETRY = 0.05
_LONGEST_RETRY = 0.5
_RESET_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A pool as it stands: connections in use and free, how many it may open, and how many callers wait for one."""

    used: int
    idle: int
    largest: int
    waiting: int


@dataclass(slots=True, eq=False)
class _Transaction:
    connection: Connection
    block: driver.Block
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    after_commit: list[AfterCommit] = field(default_factory=list)
    ended: bool = False

    def check(self) -> None:
        if self.ended:
            raise TransactionEnded(
                "this task was started inside a transaction that has ended since. Await the task before the "
                "transaction's block ends, or start it outside the block"
            )

    async def roll_back(self) -> None:
        """Roll back, unless the connection is gone and PostgreSQL has done so."""
        if self.connection.is_closed():
            return
        try:
            await self.block.rollback()
        except driver.LOST:
            if not self.connection.is_closed():
                raise


class Pool:
    """Connections to one database. Made by `Pool.open`, ended by `close`, or used as an async context manager."""

    def __init__(
        self,
        dsn: str,
        spec: DatabaseSpec,
        raw: driver.RawPool,
        *,
        acquire_timeout: timedelta,
        clock: Callable[[], float],
    ) -> None:
        """Wrap `raw`; use `Pool.open`."""
        self.name = spec.name
        self._dsn = dsn
        self._raw = raw
        self._acquire_timeout = acquire_timeout.total_seconds()
        self._clock = clock
        self._waiting = 0
        self._current: ContextVar[_Transaction | None] = ContextVar(f"transaction of {spec.name}", default=None)

    @classmethod
    async def open(
        cls,
        dsn: str,
        spec: DatabaseSpec,
        *,
        application_name: str = "roadworthy",
        connect_timeout: timedelta = timedelta(seconds=10),
        command_timeout: timedelta = timedelta(seconds=60),
        acquire_timeout: timedelta = timedelta(seconds=10),
        statement_timeout: timedelta | None = None,
        idle_in_transaction_timeout: timedelta = timedelta(minutes=5),
        clock: Callable[[], float] = time.monotonic,
        timed: driver.Timed | None = None,
    ) -> Pool:
        """Open the pool that `spec` describes.

        `connect_timeout` bounds opening one connection, `acquire_timeout` the wait for a free one, and
        `command_timeout` that for a statement's answer, which then is cancelled and raises TimeoutError. PostgreSQL
        itself ends a statement after `statement_timeout`, if given, and a transaction that idles for
        `idle_in_transaction_timeout`. `timed` is told how long each statement took, and what it raised.

        Raises DatabaseUnavailable when PostgreSQL cannot be reached within `connect_timeout`.
        """
        settings = {
            "application_name": application_name,
            "idle_in_transaction_session_timeout": _milliseconds(idle_in_transaction_timeout),
        }
        if statement_timeout is not None:
            settings["statement_timeout"] = _milliseconds(statement_timeout)

        async def create() -> driver.RawPool:
            return await driver.create_pool(
                dsn,
                size=spec.pool,
                connect_timeout=connect_timeout,
                command_timeout=command_timeout,
                settings=settings,
                timed=timed,
            )

        raw = await _persist(create, dsn, connect_timeout.total_seconds(), clock)
        return cls(dsn, spec, raw, acquire_timeout=acquire_timeout, clock=clock)

    async def close(self, timeout: timedelta = timedelta(seconds=5)) -> None:
        """Wait for the connections in use to come back, at most `timeout`, then close all."""
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._raw.close()
        except TimeoutError:
            self._raw.terminate()

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[driver.PooledConnection]:
        """Hold a connection of one's own, outside any current transaction.

        Raises DatabaseUnavailable when none is free, or PostgreSQL cannot be reached, within the acquire timeout.
        """
        connection = await self._acquire()
        try:
            yield connection
        finally:
            # A connection that cannot be reset is terminated by the driver and replaced at the next acquire.
            with contextlib.suppress(TimeoutError, driver.PostgresError, *driver.LOST):
                await self._raw.release(connection, timeout=_RESET_SECONDS)

    def transaction(
        self, isolation: Isolation | None = None, *, readonly: bool = False
    ) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction, or inside one a savepoint, as the current one; an exception rolls it back.

        A savepoint keeps the isolation of its transaction, and other tasks of the outer transaction wait until it ends.
        While child tasks join through the pool's methods, use those too: the connection itself knows no turns.
        """
        return _TransactionBlock(self, isolation, readonly)

    def current(self) -> Connection | None:
        """Return the connection of the current transaction, None outside one.

        Raises TransactionEnded in a task that outlived its transaction. Statements that several tasks may run at once
        belong in `connection()`, which makes them take turns.
        """
        transaction = self._current.get()
        if transaction is None:
            return None
        transaction.check()
        return transaction.connection

    def after_commit(self, call: AfterCommit) -> None:
        """Await `call` once the current transaction, the outermost, has committed; what it raises comes out there.

        It is forgotten where the transaction rolls back. Raises RuntimeError outside a transaction.
        """
        transaction = self._current.get()
        if transaction is None:
            raise RuntimeError("after_commit() waits for a transaction to commit, and there is none; just call it")
        transaction.after_commit.append(call)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Hold the current transaction's connection, alone, or outside a transaction one from the pool."""
        transaction = self._current.get()
        if transaction is None:
            async with self.acquire() as own:
                yield own
            return
        async with self._turn(transaction):
            yield transaction.connection

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        """Run one statement, joining the current transaction, and return its rows."""
        async with self.connection() as connection:
            return await connection.fetch(sql, *arguments)

    async def fetchrow(self, sql: str, *arguments: Any) -> Record | None:
        """Run one statement, joining the current transaction, and return its first row."""
        async with self.connection() as connection:
            return await connection.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        """Run one statement, joining the current transaction, and return the first column of its first row."""
        async with self.connection() as connection:
            return await connection.fetchval(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> str:
        """Run one statement, or without arguments several, joining the current transaction; return the command tag."""
        async with self.connection() as connection:
            return await connection.execute(sql, *arguments)

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each of `rows`, all or nothing, joining the current transaction."""
        async with self.connection() as connection:
            await connection.executemany(sql, rows)

    def statistics(self) -> PoolStatistics:
        """Count the connections, and the callers waiting for one."""
        idle = self._raw.get_idle_size()
        return PoolStatistics(
            used=self._raw.get_size() - idle, idle=idle, largest=self._raw.get_max_size(), waiting=self._waiting
        )

    async def _acquire(self) -> driver.PooledConnection:
        deadline = self._clock() + self._acquire_timeout

        async def attempt() -> driver.PooledConnection:
            # Cheaper by a task than the driver's own time-out.
            async with asyncio.timeout(max(deadline - self._clock(), 0.001)):
                return await self._raw.acquire()

        self._waiting += 1
        try:
            return await _persist(attempt, self._dsn, self._acquire_timeout, self._clock)
        except DatabaseUnavailable as error:
            counted = self.statistics()
            if counted.used < counted.largest:
                raise
            raise DatabaseUnavailable(
                f"no connection of database {self.name!r} came free in {self._acquire_timeout:g} s: all "
                f"{counted.largest} are in use and {counted.waiting} callers wait. Hold connections for less long, or "
                "raise pool= in service.database()"
            ) from error
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def _turn(self, transaction: _Transaction) -> AsyncIterator[None]:
        transaction.check()
        await self._take_turn(transaction)
        try:
            transaction.check()
            yield
        finally:
            transaction.turn.release()

    async def _take_turn(self, transaction: _Transaction) -> None:
        try:
            async with asyncio.timeout(self._acquire_timeout):
                await transaction.turn.acquire()
        except TimeoutError:
            raise DatabaseUnavailable(
                f"a statement waited {self._acquire_timeout:g} s for its turn in a transaction of database "
                f"{self.name!r}. Keep statements short, and inside a savepoint await no task that was begun outside"
            ) from None


class _TransactionBlock:
    """One transaction or savepoint. A class: a generator's body may end in another context than it began in."""

    def __init__(self, pool: Pool, isolation: Isolation | None, readonly: bool) -> None:
        self._pool = pool
        self._isolation = isolation
        self._readonly = readonly
        self._held = contextlib.AsyncExitStack()
        self._outer: _Transaction | None = None
        self._inner: _Transaction | None = None

    async def __aenter__(self) -> Connection:
        pool = self._pool
        self._outer = pool._current.get()
        if self._outer is None:
            # A restart of PostgreSQL ends connections before the loop sees it; their BEGIN fails and is safe to repeat.
            for _ in range(pool.statistics().largest):
                with contextlib.suppress(*driver.LOST):
                    return await self._begin()
        return await self._begin()

    async def _begin(self) -> Connection:
        pool = self._pool
        async with contextlib.AsyncExitStack() as held:
            connection: Connection
            if self._outer is None:
                connection = await held.enter_async_context(pool.acquire())
                block = connection.transaction(isolation=self._isolation, readonly=self._readonly)
            else:
                await held.enter_async_context(pool._turn(self._outer))
                connection = self._outer.connection
                block = connection.transaction()
            await block.start()
            self._held = held.pop_all()
        self._inner = _Transaction(connection, block)
        pool._current.set(self._inner)
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        inner, self._inner = self._inner, None
        if inner is None:
            return
        self._pool._current.set(self._outer)
        inner.ended = True
        async with self._held:
            try:
                # A child task in the middle of a statement finishes it; its next one finds the transaction ended.
                await self._pool._take_turn(inner)
            except BaseException:
                # Cancelled, or out of patience, with the statement still running: only the server can undo it now.
                inner.connection.terminate()
                raise
            if error is not None:
                await inner.roll_back()
                return
            await inner.block.commit()
        if self._outer is not None:
            self._outer.after_commit += inner.after_commit
            return
        for call in inner.after_commit:
            await call()


async def _persist(
    attempt: Callable[[], Awaitable[_Result]], dsn: str, timeout: float, clock: Callable[[], float]
) -> _Result:
    """Return what `attempt` returns, trying again while PostgreSQL starts or is away, for `timeout` seconds."""
    deadline = clock() + timeout
    delay = _FIRST_RETRY
    while True:
        try:
            return await attempt()
        except driver.NOT_YET as error:
            if clock() + delay >= deadline:
                raise driver.unavailable(dsn, error) from error
        except (driver.PostgresError, driver.InterfaceError, ValueError) as error:
            raise driver.unavailable(dsn, error) from error
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LONGEST_RETRY)


def _milliseconds(duration: timedelta) -> str:
    return str(round(duration.total_seconds() * 1000))
