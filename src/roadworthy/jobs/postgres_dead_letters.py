"""Dead letters in PostgreSQL. The functions are those of migration 0005, which people may call as well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from roadworthy.database import driver, queries
from roadworthy.errors import InvalidFilter
from roadworthy.jobs.dead_letters import (
    BATCH,
    EVERYTHING,
    Action,
    AuditEntry,
    DeadFilter,
    DeadGroup,
    DeadSelection,
)
from roadworthy.jobs.operations import JobRecord
from roadworthy.jobs.postgres_operations import record_of

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool

_NEWEST = 2**63 - 1


class PostgresDeadLetters:
    """The dead letters on PostgreSQL, all on the pool: they join its current transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = queries.load_queries("roadworthy.jobs", "dead_letters.sql")

    async def groups(self, filter: DeadFilter = EVERYTHING) -> list[DeadGroup]:
        """Count what died; see `DeadLetters.groups`."""
        async with _reading(filter):
            return [DeadGroup(*row) for row in await self._pool.fetch(self._sql["dead_groups"], filter.document)]

    async def jobs(
        self, filter: DeadFilter = EVERYTHING, *, limit: int = 50, before: int | None = None
    ) -> list[JobRecord]:
        """Return dead jobs; see `DeadLetters.jobs`."""
        beginning = _NEWEST if before is None else before
        most = min(limit, filter.at_most or limit)
        async with _reading(filter):
            rows = await self._pool.fetch(self._sql["dead_jobs"], filter.document, beginning, most)
        return [record_of(row) for row in rows]

    async def choose(self, filter: DeadFilter = EVERYTHING) -> DeadSelection:
        """Settle a set; see `DeadLetters.choose`."""
        async with _reading(filter):
            (row,) = await self._pool.fetch(self._sql["choose_dead"], filter.document)
        return DeadSelection(filter, row["matched"], tuple(row)[1:])

    async def begin(
        self, action: Action, chosen: DeadSelection, *, who: str, reason: str | None, per_second: float | None
    ) -> AuditEntry:
        """Note an operation; see `DeadLetters.begin`."""
        async with driver.reaching():
            operation = await self._pool.fetchval(
                self._sql["begin_dead"],
                action,
                chosen.filter.document,
                chosen.count,
                *chosen.marks,
                who,
                reason,
                per_second,
            )
        # A batch of none is its state.
        return await self.proceed(operation, limit=0)

    async def unfinished(self, action: Action, filter: DeadFilter) -> AuditEntry | None:
        """Return what was interrupted; see `DeadLetters.unfinished`."""
        async with driver.reaching():
            row = await self._pool.fetchrow(self._sql["unfinished_dead"], action, filter.document)
        return None if row is None else AuditEntry(*row)

    async def proceed(self, operation: int, *, limit: int = BATCH) -> AuditEntry:
        """Do the next batch; see `DeadLetters.proceed`."""
        async with driver.reaching():
            (row,) = await self._pool.fetch(self._sql["continue_dead"], operation, limit)
        return AuditEntry(*row)

    async def abandon(self, operation: int) -> None:
        """End an operation where it is; see `DeadLetters.abandon`."""
        async with driver.reaching():
            await self._pool.execute(self._sql["abandon_dead"], operation)

    async def note(
        self, action: str, filter: Mapping[str, Any], *, asked: int, changed: int, who: str, reason: str | None = None
    ) -> None:
        """Note what was done; see `DeadLetters.note`."""
        async with driver.reaching():
            await self._pool.execute(self._sql["note"], action, dict(filter), asked, changed, who, reason)

    async def audit(self, *, limit: int = 50, before: int | None = None) -> list[AuditEntry]:
        """Return what was done; see `DeadLetters.audit`."""
        async with driver.reaching():
            rows = await self._pool.fetch(self._sql["audit"], _NEWEST if before is None else before, limit)
        return [AuditEntry(*row) for row in rows]


@asynccontextmanager
async def _reading(filter: DeadFilter) -> AsyncIterator[None]:
    """Say InvalidFilter where PostgreSQL cannot read the filter's path, DatabaseUnavailable where it is away."""
    try:
        async with driver.reaching():
            yield
    except driver.UNREADABLE as error:
        raise InvalidFilter(
            f"arguments_path={filter.arguments_path!r} is no predicate in SQL/JSON path language: {error}; "
            "write one as in '$.user == 42'"
        ) from error
