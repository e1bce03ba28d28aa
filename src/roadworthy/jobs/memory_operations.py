"""What people do to jobs in this process's memory."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.jobs.memory_store import Kept, Store
from roadworthy.jobs.operations import JobRecord, State


class MemoryOperations:
    """The operations without a database, and the model of those with one."""

    def __init__(self, store: Store) -> None:
        """`store` is the engine's."""
        self._store = store

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
        found = [
            kept
            for kept in self._store.kept.values()
            if queue in (None, kept.new.queue)
            and job in (None, kept.new.job)
            and state in (None, kept.state)
            and (before is None or kept.id < before)
        ]
        found.sort(key=lambda kept: kept.id, reverse=True)
        return [_record(kept) for kept in found[:limit]]

    async def find(self, id: int) -> JobRecord | None:
        """Return one job; see `Operations.find`."""
        kept = self._store.kept.get(id)
        return None if kept is None else _record(kept)

    async def retry_dead(self, ids: Sequence[int]) -> int:
        """Make dead jobs ready; see `Operations.retry_dead`."""
        count = 0
        for id in dict.fromkeys(ids):
            kept = self._store.kept.get(id)
            if kept is None or kept.state != "dead" or (kept.key is not None and self._store.taken(kept.key)):
                continue
            kept.attempt = 0
            kept.failures.clear()
            self._store.make_ready(kept, self._store.clock())
            count += 1
        return count

    async def discard(self, ids: Sequence[int]) -> int:
        """Delete dead or waiting jobs; see `Operations.discard`."""
        count = 0
        for id in dict.fromkeys(ids):
            kept = self._store.kept.get(id)
            if kept is not None and kept.state != "running":
                del self._store.kept[id]
                count += 1
        return count


def _record(kept: Kept) -> JobRecord:
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
    )
