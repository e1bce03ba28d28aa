"""Workflows, results, progress, cancellation and pruning in PostgreSQL. The statements are in flows.sql."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from roadworthy.database import queries
from roadworthy.database.driver import reaching
from roadworthy.errors import UniqueKeyTaken
from roadworthy.jobs.columns import decode_options, new_columns
from roadworthy.jobs.engine import PLAIN, NewJob
from roadworthy.jobs.flows import Cancellations, JobOutcome, NewWorkflow, Predecessor, WorkflowState
from roadworthy.jobs.operations import State
from roadworthy.jobs.postgres_operations import STATES
from roadworthy.jobs.session import Session

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool

T = TypeVar("T")

_PART = 5_000
"""Rows of one statement: many enough to be quick, few enough to be over soon."""

_CHOSEN = 1_000


class PostgresFlows:
    """The flows on PostgreSQL. Adding and looking join the pool's current transaction; the rest is done at once.

    What touches running jobs must not wait for a caller's commit, for heartbeats would wait with it.
    """

    def __init__(
        self,
        pool: Pool,
        session: Session,
        *,
        woken: Callable[[Any, set[str]], None],
        returned: Callable[[Iterable[str]], None],
        counted: Callable[[Iterable[NewJob]], None],
    ) -> None:
        """`session` is a connection of the engine's own; see the engine for the others."""
        self._pool = pool
        self._session = session
        self._woken = woken
        self._returned = returned
        self._counted = counted
        self._sql = queries.load_queries("roadworthy.jobs", "flows.sql")

    async def add(self, workflow: NewWorkflow, *, connection: Any | None = None) -> tuple[int, list[int | None]]:
        """Add a workflow; see `Flows.add`."""
        async with reaching(), self._joined(connection) as joined:
            flow = await joined.fetchval(self._sql["add_workflow"], workflow.name, workflow.keep, len(workflow.members))
            numbers: list[int] = await joined.fetchval(self._sql["draw_ids"], len(workflow.members)) or []
            rows = _rows(workflow, flow, numbers)
            added: set[int] = set()
            for part in _parts(rows, _PART):
                columns = [
                    *new_columns([row.job for row in part]),
                    [row.id for row in part],
                    [row.waits_for for row in part],
                    [row.leads for row in part],
                ]
                found = await joined.fetch(self._sql["add_jobs"], *columns)
                added.update(row[0] for row in found)
                if workflow.on_taken == "refuse" and len(found) < len(part):
                    raise _refusal(workflow, next(row for row in part if row.id not in added))
            edges = _edges(workflow, numbers, added)
            for some in _parts(edges, _PART):
                await joined.execute(self._sql["add_edges"], flow, *map(list, zip(*some, strict=True)))
            fewer = _spared(workflow, numbers, added)
            span = (min(numbers, default=0), max(numbers, default=0))
            await joined.execute(
                self._sql["settle_workflow"], flow, list(fewer), list(fewer.values()), len(numbers) - len(added), *span
            )
            self._woken(joined, {member.job.queue for member in workflow.members})
        self._counted(row.job for row in rows if row.id in added)
        return flow, [id if id in added else None for id in numbers]

    @asynccontextmanager
    async def _joined(self, connection: Any | None) -> AsyncIterator[Any]:
        if connection is not None:
            async with connection.transaction():
                yield connection
            return
        async with self._pool.transaction() as own:
            yield own

    async def workflow(self, id: int) -> WorkflowState | None:
        """Count the members of a workflow; see `Flows.workflow`."""
        async with reaching():
            row = await self._pool.fetchrow(self._sql["count_workflow"], id)
        return None if row is None else WorkflowState(*row)

    async def members(self, id: int) -> list[int]:
        """Return the members that have not ended; see `Flows.members`."""
        async with reaching():
            return await self._pool.fetchval(self._sql["list_members"], id) or []

    async def outcome(self, id: int) -> JobOutcome | None:
        """Tell where a job has got to; see `Flows.outcome`."""
        async with reaching():
            row = await self._pool.fetchrow(self._sql["find_outcome"], id)
        if row is None:
            return None
        job, number, cancelled, result, error_class, message, options = row
        ended: State = "cancelled" if cancelled else "succeeded"
        return JobOutcome(
            job=job,
            state=ended if number is None else STATES[number],
            result=None if result is None else result.encode(),
            error_class=error_class,
            message=message,
            encrypted=options is not None and decode_options(options).encrypted,
        )

    async def predecessors(self, id: int) -> list[Predecessor]:
        """Return the kept jobs that a job waited for; see `Flows.predecessors`."""
        async with reaching():
            rows = await self._pool.fetch(self._sql["list_predecessors"], id)
        return [
            Predecessor(id, job, (result or "null").encode(), PLAIN if options is None else decode_options(options))
            for id, job, result, options in rows
        ]

    async def progress(self, id: int, lease: int, progress: bytes) -> bool:
        """Note how far a job has got; see `Flows.progress`."""
        row = await self._session.fetchrow(self._sql["write_progress"], id, lease, progress.decode())
        return bool(row[0])

    async def cancel(self, ids: Sequence[int]) -> tuple[int, int]:
        """Cancel jobs; see `Flows.cancel`."""
        left, asked, total = set(ids), 0, 0
        # Twice, because a job may be claimed, or come back, between the look at what runs and that at what waits.
        for _ in range(2):
            row = await self._session.fetchrow(self._sql["request_cancellation"], sorted(left))
            running = set(row[0] or ())
            left -= running
            ended, count = await self.drop([(id, None) for id in left], keep=True, dead=False)
            left -= ended
            asked += len(running)
            total += count
            if not left:
                break
        return total, asked

    async def drop(
        self, given: Sequence[tuple[int, int | None]], *, keep: bool, dead: bool = True
    ) -> tuple[set[int], int]:
        """End jobs, each given with its lease where it runs, and what waits for their success.

        `keep` says whether those that are to be kept are, as cancelled; `dead` whether dead ones end, too. Return the
        given ones that ended, and how many ended in all.
        """
        ended: set[int] = set()
        total = 0
        for some in _parts(sorted(given), _CHOSEN):
            ids, leases = zip(*some, strict=True)
            row = await self._session.fetchrow(self._sql["drop_jobs"], ids, leases, keep, dead)
            ended.update(row[0] or ())
            self._returned(row[1] or ())
            total += row[2]
        return ended, total

    async def discard(self, ids: Sequence[int]) -> int:
        """Delete waiting or dead jobs; see `Flows.discard`."""
        ended, _ = await self.drop([(id, None) for id in dict.fromkeys(ids)], keep=False)
        return len(ended)

    async def cancellations(self, worker: str) -> Cancellations:
        """Find what there is to cancel; see `Flows.cancellations`."""
        rows = await self._session.fetch(self._sql["find_cancellations"], worker)
        return Cancellations(
            frozenset((id, lease) for id, lease in rows if lease is not None),
            tuple(id for id, lease in rows if lease is None),
        )

    async def prune(self, *, limit: int = 1000) -> int:
        """Remove what was kept long enough; see `Flows.prune`."""
        names = ("prune_finished_jobs", "prune_unique_keys", "prune_workflows")
        return max([int((await self._session.fetchrow(self._sql[name], limit))[0]) for name in names])

    async def prune_dead(self, queue: str, older_than: timedelta, *, limit: int = 1000) -> int:
        """Discard what has been dead for long; see `Flows.prune_dead`."""
        row = await self._session.fetchrow(self._sql["list_old_dead_jobs"], queue, older_than, limit)
        return await self.discard(row[0] or ())


@dataclass(frozen=True, slots=True)
class _Row:
    """A member as it is inserted."""

    id: int
    job: NewJob
    waits_for: int
    leads: bool


def _rows(workflow: NewWorkflow, flow: int, numbers: Sequence[int]) -> list[_Row]:
    """Return the members to be inserted, in the order of their keys: two bulk inserts never wait for each other's."""
    leading = {index for member in workflow.members for index in member.after}
    rows = [
        _Row(
            numbers[index],
            replace(member.job, options=msgspec.structs.replace(member.job.options, workflow=flow)),
            len(member.after),
            index in leading,
        )
        for index, member in enumerate(workflow.members)
    ]
    rows.sort(key=lambda row: (row.job.job, row.job.unique_key or "", row.id))
    return rows


def _parts(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _edges(workflow: NewWorkflow, numbers: Sequence[int], added: set[int]) -> list[tuple[int, int, bool]]:
    return sorted(
        (numbers[earlier], numbers[index], member.when == "succeeded")
        for index, member in enumerate(workflow.members)
        for earlier in member.after
        if numbers[index] in added and numbers[earlier] in added
    )


def _spared(workflow: NewWorkflow, numbers: Sequence[int], added: set[int]) -> Counter[int]:
    """Return for how many skipped members each added one would have waited."""
    if len(added) == len(numbers):
        return Counter()
    return Counter(
        numbers[index]
        for index, member in enumerate(workflow.members)
        if numbers[index] in added
        for earlier in member.after
        if numbers[earlier] not in added
    )


def _refusal(workflow: NewWorkflow, row: _Row) -> UniqueKeyTaken:
    return UniqueKeyTaken(
        f"workflow {workflow.name!r} has a job {row.job.job!r} whose unique key {row.job.unique_key} another job has; "
        'add it when that one has ended, or declare the workflow with on_taken="skip"'
    )
