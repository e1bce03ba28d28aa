"""What people do to jobs in this process's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roadworthy.jobs.memory_flows import Finished, MemoryFlows
from roadworthy.jobs.memory_store import Kept, Store
from roadworthy.jobs.operations import JobRecord, Overview, Pause, State
from roadworthy.jobs.workers import WorkerRecord


class MemoryOperations:
    """The operations without a database, and the model of those with one."""

    def __init__(self, store: Store, flows: MemoryFlows) -> None:
        """`store` and `flows` are the engine's."""
        self._store = store
        self._flows = flows

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
        ended = (_ended(one) for one in self._flows.finished.values())
        found = [
            record
            for record in (*map(record_of, self._store.kept.values()), *ended)
            if queue in (None, record.queue)
            and job in (None, record.job)
            and state in (None, record.state)
            and (before is None or record.id < before)
        ]
        found.sort(key=lambda record: record.id, reverse=True)
        return found[:limit]

    async def find(self, id: int) -> JobRecord | None:
        """Return one job; see `Operations.find`."""
        nearest = await self.jobs(before=id + 1, limit=1)
        return nearest[0] if nearest and nearest[0].id == id else None

    async def discard(self, ids: Sequence[int]) -> int:
        """Delete dead or waiting jobs; see `Operations.discard`."""
        return await self._flows.discard(ids)

    async def pause(self, queue: str, job: str | None = None, *, by: str = "", reason: str = "") -> bool:
        """Have no more jobs begin; see `Operations.pause`."""
        if (queue, job) in self._store.pauses:
            return False
        self._store.pauses[queue, job] = Pause(queue, job, self._store.clock(), by, reason)
        return True

    async def resume(self, queue: str, job: str | None = None) -> bool:
        """End a pause; see `Operations.resume`."""
        ended = self._store.pauses.pop((queue, job), None) is not None
        self._store.wake([queue])
        if job is not None:
            self._store.unblock(f"pause:{job}", len(self._store.kept))
        return ended

    async def pauses(self) -> list[Pause]:
        """Return what is paused; see `Operations.pauses`."""
        return sorted(self._store.pauses.values(), key=lambda pause: (pause.queue, pause.job or ""))

    async def workers(self) -> list[WorkerRecord]:
        """Return who works; see `Operations.workers`."""
        now = self._store.clock()
        told = self._store.workers.values()
        return sorted(
            (replace(one, silent=now - one.seen_at) for one in told), key=lambda one: (one.name, one.host, one.pid)
        )

    async def overview(self, *, count: bool = True) -> Overview:
        """Return everything at a glance; see `Operations.overview`."""
        counts = self._store.counts() if count else ()
        return Overview(self._store.clock(), tuple(counts), tuple(await self.workers()), tuple(await self.pauses()))


def record_of(kept: Kept) -> JobRecord:
    """Return a job as people see it."""
    return JobRecord(
        id=kept.id,
        state=kept.state,
        queue=kept.new.queue,
        job=kept.new.job,
        arguments=kept.new.arguments,
        attempt=kept.attempt,
        attempts=kept.new.attempts,
        priority=kept.new.priority,
        unique_key=kept.new.unique_key,
        enqueued_at=kept.enqueued_at,
        run_at=kept.run_at,
        worker=kept.worker,
        failures=tuple(kept.failures),
        snoozes=kept.new.options.snoozes,
        workflow=kept.new.options.workflow,
        encrypted=kept.new.options.encrypted,
        progress=kept.progress,
        cancel_requested_at=None if kept.state == "dead" else kept.cancel_requested_at,
        blocked_by=kept.blocked_by,
    )


def _ended(one: Finished) -> JobRecord:
    return replace(
        record_of(one.kept),
        state="cancelled" if one.cancelled else "succeeded",
        run_at=one.at,
        failures=(),
        cancel_requested_at=None,
        result=one.result,
    )
