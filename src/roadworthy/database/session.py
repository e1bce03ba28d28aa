"""One connection of the store's own, opened when first used and again after it was lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from roadworthy.database import driver
from roadworthy.errors import DatabaseUnavailable
from roadworthy.outage import StoreDown, StoreRefused

FAILURES = (DatabaseUnavailable, driver.PostgresError, *driver.LOST, TimeoutError)
"""What a statement raises where the store cannot be used at present."""

_CLOSING = 1.0
_TIMED_OUT = "57014"


class Session:
    """A connection that runs one prepared statement at a time.

    Apart from the service's pool: what it runs neither waits for a connection nor joins the caller's transaction.
    """

    def __init__(
        self,
        dsn: str,
        statements: Mapping[str, str],
        *,
        name: str,
        seconds: float,
        begin: Callable[[driver.Connection], Awaitable[None]],
        patience: float | None = None,
    ) -> None:
        """`seconds` bound each statement, and `patience` connecting, by default as many.

        `begin` is run on each new connection, within that.
        """
        self._dsn = dsn
        self._sql = statements
        self._name = name
        self._seconds = seconds
        self._patience = seconds if patience is None else patience
        self._begin = begin
        self._turn = asyncio.Lock()
        self._connection: driver.Connection | None = None
        self._prepared: dict[str, Any] = {}
        self._failed = "not connected yet"

    @property
    def trouble(self) -> str | None:
        """Why the next statement would have to connect first; None where it need not."""
        if self._connection is None:
            return self._failed
        return f"the connection {self._name!r} was lost" if self._connection.is_closed() else None

    async def fetch(self, statement: str, *arguments: Any) -> list[driver.Record]:
        """Run a statement by its name and return its rows; raise StoreDown or StoreRefused where that failed.

        Not to be cancelled but for the last time: the driver would ask the server, at leisure, to stop.
        """
        async with self._turn:
            try:
                connection = self._connection
                if connection is None or connection.is_closed():
                    connection = await self._connect()
                with given_up(connection, self._seconds):
                    prepared = self._prepared.get(statement)
                    if prepared is None:
                        prepared = self._prepared[statement] = await connection.prepare(self._sql[statement])
                    rows: list[driver.Record] = await prepared.fetch(*arguments)
                    return rows
            except FAILURES as error:
                raise self._failure(error) from error

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._turn.locked():
                connection.terminate()
            with contextlib.suppress(*FAILURES):
                await connection.close(timeout=_CLOSING)

    def _failure(self, error: BaseException) -> StoreDown:
        what = self._failed = f"the connection {self._name!r} failed: {driver.reason_of(error)}"
        if self._connection is None or not isinstance(error, driver.PostgresError):
            return StoreDown(what)
        gone = isinstance(error, (*driver.LOST, *driver.NOT_YET)) or error.sqlstate == _TIMED_OUT
        return StoreDown(what) if gone else StoreRefused(what)

    async def _connect(self) -> driver.Connection:
        self._prepared = {}
        self._connection = await connect(self._dsn, name=self._name, seconds=self._patience, begin=self._begin)
        return self._connection


async def connect(
    dsn: str, *, name: str, seconds: float, begin: Callable[[driver.Connection], Awaitable[None]]
) -> driver.Connection:
    """Open a connection and begin it, in `seconds` at most; raise one of FAILURES."""
    async with asyncio.timeout(seconds):
        connection = await driver.connect(dsn, application_name=name, command_timeout=None)
        try:
            await begin(connection)
        except BaseException:
            connection.terminate()
            raise
    return connection


@contextlib.contextmanager
def given_up(connection: driver.Connection, seconds: float) -> Iterator[None]:
    """Drop a connection whose statement takes longer than `seconds`.

    The driver's own time-out would first ask the server to stop, and wait for an answer that a hung one does not give.
    """
    timer = asyncio.get_running_loop().call_later(seconds, connection.terminate)
    try:
        yield
    finally:
        timer.cancel()
