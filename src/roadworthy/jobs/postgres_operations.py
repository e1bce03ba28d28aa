"""What people do to jobs in PostgreSQL. The statements are in operations.sql."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from roadworthy.database import queries
from roadworthy.database.driver import reaching
from roadworthy.jobs.operations import JobRecord, State

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool

STATES: tuple[State, ...] = ("scheduled", "ready", "running", "dead", "blocked", "held")
"""States by their number in the database."""

_NEWEST = 2**63 - 1


class PostgresOperations:
    """The operations on PostgreSQL, all on the pool: they join its current transaction."""

    def __init__(self, pool: Pool, returned: Callable[[Iterable[str]], None]) -> None:
        """`returned` is told the queues to which jobs came back."""
        self._pool = pool
        self._returned = returned
        self._sql = queries.load_queries("roadworthy.jobs", "operations.sql")

    async def jobs(
        self,
        *,
        queue: str | None = None,
        job: str | None = None,
        state: State | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> list[JobRecord]:
        """Return jobs that match; see `Operations.jobs`."""
        beginning = _NEWEST if before is None else before
        found: dict[int, JobRecord] = {}
        async with reaching():
            if state != "dead":
                number = None if state is None else STATES.index(state)
                rows = await self._pool.fetch(self._sql["list_jobs"], queue, job, number, beginning, limit)
                found |= {row["id"]: _record(row) for row in rows}
            if state in ("dead", None):
                rows = await self._pool.fetch(self._sql["list_dead_jobs"], queue, job, beginning, limit)
                found |= {row["id"]: _record(row) for row in rows}
        return sorted(found.values(), key=lambda record: record.id, reverse=True)[:limit]

    async def find(self, id: int) -> JobRecord | None:
        """Return one job; see `Operations.find`."""
        nearest = await self.jobs(before=id + 1, limit=1) if id < _NEWEST else []
        return nearest[0] if nearest and nearest[0].id == id else None

    async def retry_dead(self, ids: Sequence[int]) -> int:
        """Make dead jobs ready; see `Operations.retry_dead`."""
        async with reaching():
            row = await self._pool.fetchrow(self._sql["retry_dead_jobs"], list(ids))
        count, wanted = row if row is not None else (0, None)
        self._returned(wanted or ())
        return int(count)

    async def discard(self, ids: Sequence[int]) -> int:
        """Delete dead or waiting jobs; see `Operations.discard`."""
        async with reaching():
            return int(await self._pool.fetchval(self._sql["discard_jobs"], list(ids)))


def _record(row: Any) -> JobRecord:
    failures = msgspec.json.decode(row["failures"])
    if row["error_class"] is not None:
        last = ("attempt", "worker", "error_class", "message", "traceback")
        failures.append({name: row[name] for name in last} | {"at": row["run_at"].isoformat()})
    return JobRecord(
        id=row["id"],
        state=STATES[row["state"]],
        queue=row["queue"],
        job=row["job"],
        arguments=row["arguments"].encode(),
        attempt=row["attempt"],
        attempts=row["attempts"],
        priority=row["priority"],
        unique_key=row["unique_key"],
        enqueued_at=row["enqueued_at"],
        run_at=row["run_at"],
        worker=row["worker"],
        failures=tuple(failures),
    )
