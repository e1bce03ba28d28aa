"""The handle of a database."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from roadworthy.database.spec import DatabaseSpec
from roadworthy.handles.host import Host

if TYPE_CHECKING:
    from roadworthy.database.driver import Connection, Record
    from roadworthy.database.pool import Pool


class Database:
    """The handle of a PostgreSQL database; statements join the transaction that the calling task is in."""

    def __init__(self, service: Host, spec: DatabaseSpec) -> None:
        """Declared with `Service.database`."""
        self.spec = spec
        self._service = service

    @property
    def pool(self) -> Pool:
        """The pool behind the handle."""
        return self._service.binding(f"database {self.spec.name!r}").pool

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction, or a savepoint inside one; it commits unless the block raises."""
        return self.pool.transaction()

    def acquire(self) -> AbstractAsyncContextManager[Connection]:
        """Borrow a connection outside any transaction."""
        return self.pool.acquire()

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        """Run a statement and return its rows."""
        return await self.pool.fetch(sql, *arguments)

    async def fetchrow(self, sql: str, *arguments: Any) -> Record | None:
        """Run a statement and return its first row, or None."""
        return await self.pool.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        """Run a statement and return the first value of its first row, or None."""
        return await self.pool.fetchval(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> str:
        """Run a statement and return its status, as in "UPDATE 3"."""
        return await self.pool.execute(sql, *arguments)
