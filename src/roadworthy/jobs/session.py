"""One connection of the engine's own, opened when first used and again after it was lost."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from roadworthy.database import driver
from roadworthy.errors import DatabaseUnavailable

_TRANSIENT = (*driver.LOST, TimeoutError, driver.DeadlockDetected)


class Session:
    """A connection that runs one statement at a time, apart from any pool.

    A job that holds every pooled connection can so neither stop a heartbeat nor a claim, and nothing is reset between
    two statements, which would cost a round trip each.
    """

    def __init__(self, dsn: str, setup: str, *, name: str, timeout: timedelta = timedelta(seconds=30)) -> None:
        """`setup` is run on each new connection; `timeout` bounds a statement, and connecting."""
        self._dsn = dsn
        self._setup = setup
        self._name = name
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._connection: driver.Connection | None = None

    async def fetch(self, sql: str, *arguments: Any) -> list[driver.Record]:
        """Run a statement and return its rows; raise DatabaseUnavailable when it could not be run to its end."""
        async with self._turn:
            try:
                connection = self._connection
                if connection is None or connection.is_closed():
                    connection = await self._connect()
                return await connection.fetch(sql, *arguments)
            except _TRANSIENT as error:
                await self._drop()
                reason = str(error) or type(error).__name__
                raise DatabaseUnavailable(f"the connection {self._name!r} failed: {reason}; try again") from error

    async def fetchrow(self, sql: str, *arguments: Any) -> driver.Record:
        """Run a statement that returns one row; raise as `fetch` does."""
        (row,) = await self.fetch(sql, *arguments)
        return row

    async def close(self) -> None:
        """Close the connection; a later statement opens another."""
        async with self._turn:
            await self._drop()

    async def _connect(self) -> driver.Connection:
        connection = await driver.connect(
            self._dsn, application_name=self._name, timeout=self._timeout, command_timeout=self._timeout
        )
        self._connection = connection
        await connection.execute(self._setup)
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            with contextlib.suppress(*_TRANSIENT):
                await connection.close(timeout=1)
