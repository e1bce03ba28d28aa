"""The handle of a database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from roadworthy.database.spec import DatabaseSpec
from roadworthy.handles.host import Host
from roadworthy.security import row_security
from roadworthy.security.row_security import Leak

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

    @asynccontextmanager
    async def tenant(
        self, tenant: str, *, setting: str = "roadworthy.tenant", role: str | None = None
    ) -> AsyncIterator[Connection]:
        """Open a transaction that reads and writes on behalf of `tenant`, as row-level security shows it.

        Policies find the tenant by `current_setting(setting, true)`. `role` is the one that they bind, for the time of
        the transaction; without it, that of the connection. Both end with the transaction.

        Raises RuntimeError inside another transaction, which would go on as this tenant, ValueError for an empty one.
        """
        if self.pool.current() is not None:
            raise RuntimeError(
                "tenant() was called inside a transaction, which would go on as this tenant; open it outside of that"
            )
        async with self.pool.transaction() as connection:
            await row_security.enter(connection, tenant, setting, role)
            yield connection

    async def leaks(self, *, role: str | None = None, exempt: Collection[str] = ()) -> tuple[Leak, ...]:
        """Return what may show `role` more than its policies do, for a test that holds it to none.

        `role` is by default that of the connection, `exempt` names what is meant to be seen by all.
        """
        async with self.pool.connection() as connection:
            return await row_security.leaks(connection, role, exempt)

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
