"""What people do to jobs in PostgreSQL. The statements are in operations.sql."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from roadworthy.database import queries
from roadworthy.database.driver import reaching
from roadworthy.jobs.columns import decode_options
from roadworthy.jobs.engine import PLAIN
from roadworthy.jobs.operations import JobRecord, Overview, Pause, QueueCounts, State
from roadworthy.jobs.workers import WorkerRecord, WorkerReport

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool
    from roadworthy.jobs.postgres_flows import PostgresFlows
    from roadworthy.jobs.postgres_limits import PostgresLimits

STATES: tuple[State, ...] = ("scheduled", "ready", "running", "dead", "blocked", "held", "succeeded", "cancelled")
"""States by their number in the statements. The last two are those of jobs that are kept though they have ended."""

_NEWEST = 2**63 - 1


class PostgresOperations:
    """The operations on PostgreSQL, all on the pool: they join its current transaction."""

    def __init__(self, pool: Pool, flows: PostgresFlows, limits: PostgresLimits) -> None:
        """`flows` and `limits` are the engine's."""
        self._pool = pool
        self._limits = limits
        self._flows = flows
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
            if state not in ("dead", "succeeded", "cancelled"):
                number = None if state is None else STATES.index(state)
                rows = await self._pool.fetch(self._sql["list_jobs"], queue, job, number, beginning, limit)
                found |= {row["id"]: record_of(row) for row in rows}
            if state in ("dead", None):
                rows = await self._pool.fetch(self._sql["list_dead_jobs"], queue, job, beginning, limit)
                found |= {row["id"]: record_of(row) for row in rows}
            if state in ("succeeded", "cancelled", None):
                cancelled = None if state is None else state == "cancelled"
                rows = await self._pool.fetch(self._sql["list_finished_jobs"], queue, job, cancelled, beginning, limit)
                found |= {row["id"]: record_of(row) for row in rows}
        return sorted(found.values(), key=lambda record: record.id, reverse=True)[:limit]

    async def find(self, id: int) -> JobRecord | None:
        """Return one job; see `Operations.find`."""
        nearest = await self.jobs(before=id + 1, limit=1) if id < _NEWEST else []
        return nearest[0] if nearest and nearest[0].id == id else None

    async def discard(self, ids: Sequence[int]) -> int:
        """Delete dead or waiting jobs; see `Operations.discard`."""
        return await self._flows.discard(ids)

    async def pause(self, queue: str, job: str | None = None, *, by: str = "", reason: str = "") -> bool:
        """Have no more jobs begin; see `Operations.pause`."""
        return await self._limits.pause(queue, job, by, reason)

    async def resume(self, queue: str, job: str | None = None) -> bool:
        """End a pause; see `Operations.resume`."""
        return await self._limits.resume(queue, job)

    async def pauses(self) -> list[Pause]:
        """Return what is paused; see `Operations.pauses`."""
        return await self._limits.pauses()

    async def workers(self) -> list[WorkerRecord]:
        """Return who works; see `Operations.workers`."""
        async with reaching():
            rows = await self._pool.fetch(self._sql["list_workers"])
        return [worker_of(row) for row in rows]

    async def overview(self, *, count: bool = True) -> Overview:
        """Return everything at a glance; see `Operations.overview`."""
        async with reaching():
            (row,) = await self._pool.fetch(self._sql["overview"], count)
        return Overview(
            row["at"],
            tuple(msgspec.convert(row["counts"], list[QueueCounts])),
            tuple(msgspec.convert(row["workers"], list[WorkerRecord])),
            tuple(msgspec.convert(row["pauses"], list[Pause])),
        )


def worker_of(row: Any) -> WorkerRecord:
    """Return the worker of a row of list_workers."""
    return WorkerRecord(**{**row, "report": msgspec.convert(row["report"], WorkerReport)})


def record_of(row: Any) -> JobRecord:
    """Return the job of a row of list_jobs or list_dead_jobs."""
    failures = msgspec.json.decode(row["failures"])
    options = PLAIN if row["options"] is None else decode_options(row["options"])
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
        snoozes=options.snoozes,
        workflow=options.workflow,
        encrypted=options.encrypted,
        progress=None if row["progress"] is None else row["progress"].encode(),
        cancel_requested_at=row["cancel_requested_at"],
        result=None if row["result"] is None else row["result"].encode(),
        blocked_by=row.get("blocked_by"),
    )
