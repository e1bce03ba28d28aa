"""One connection of the engine's own, opened when first used and again after it was lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta
from typing import Any

from roadworthy.database import driver
from roadworthy.errors import DatabaseUnavailable


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
        self.took = 0.0

    @property
    def free(self) -> bool:
        """Whether a statement would run at once."""
        return not self._turn.locked()

    async def open(self) -> None:
        """Connect now, unless connected; raise as `fetch` does."""
        async with self._turn:
            if self._connection is None or self._connection.is_closed():
                await self._connect()

    async def fetch(self, sql: str, *arguments: Any) -> list[driver.Record]:
        """Run a statement and return its rows; raise DatabaseUnavailable when it could not be run to its end.

        `took` then is how many seconds that was, the wait for its turn not counted.
        """
        async with self._turn:
            try:
                connection = self._connection
                if connection is None or connection.is_closed():
                    connection = await self._connect()
                began = time.perf_counter()
                rows = await connection.fetch(sql, *arguments)
                self.took = time.perf_counter() - began
                return rows
            except driver.TRANSIENT as error:
                await self._drop()
                raise DatabaseUnavailable(
                    f"the connection {self._name!r} failed: {driver.reason_of(error)}; try again"
                ) from error

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
        try:
            await connection.execute(self._setup)
        except BaseException as error:
            # Kept, it would run statements without the plans that it must have.
            connection.terminate()
            if isinstance(error, driver.TRANSIENT):
                raise driver.unavailable(self._dsn, error) from error
            raise
        self._connection = connection
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            with contextlib.suppress(*driver.TRANSIENT):
                await connection.close(timeout=1)
