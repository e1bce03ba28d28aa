"""Jobs in this process's memory: for tests, and as the model that other engines must agree with."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from roadworthy.jobs.engine import (
    Bury,
    ClaimedJob,
    Done,
    Failure,
    JobRecord,
    NewJob,
    Outcome,
    QueueCounts,
    Release,
    Rescued,
    Retry,
    State,
)

_EXPIRED = Failure("LeaseExpired", "the worker stopped renewing its lease: it died, hung or lost its connection", "")


@dataclass(slots=True)
class _Kept:
    id: int
    new: NewJob
    state: State
    enqueued_at: datetime
    run_at: datetime
    lease: int = 0
    attempt: int = 0
    expires_at: datetime | None = None
    worker: str | None = None
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def order(self) -> tuple[int, datetime, int]:
        return (self.new.priority, self.run_at, self.id)

    @property
    def key(self) -> tuple[str, str] | None:
        return None if self.new.unique_key is None else (self.new.job, self.new.unique_key)


class MemoryEngine:
    """The engine without a database. Nothing is kept when the process ends, and no transaction is joined."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`clock` is the backend's clock."""
        self._clock = clock
        self._kept: dict[int, _Kept] = {}
        self._fires: dict[str, set[datetime]] = {}
        self._ids = itertools.count(1)
        self._listeners: list[asyncio.Queue[str]] = []

    async def close(self) -> None:
        """Nothing is held."""

    async def enqueue(self, jobs: Sequence[NewJob], *, connection: Any | None = None) -> list[int | None]:
        """Add jobs; see `Engine.enqueue`. `connection` has no meaning here."""
        now = self._clock()
        ids: list[int | None] = []
        for new in jobs:
            if new.unique_key is not None and self._taken((new.job, new.unique_key)):
                ids.append(None)
                continue
            due = new.run_at or now + (new.delay or timedelta(0))
            id = next(self._ids)
            state: State = "scheduled" if due > now else "ready"
            self._kept[id] = _Kept(id, new, state, now, max(due, now))
            ids.append(id)
        self._wake(job.queue for job in jobs)
        return ids

    async def claim(self, queue: str, *, limit: int, lease: timedelta, worker: str) -> list[ClaimedJob]:
        """Lease ready jobs; see `Engine.claim`."""
        now = self._clock()
        ready = sorted(
            (kept for kept in self._kept.values() if kept.state == "ready" and kept.new.queue == queue),
            key=lambda kept: kept.order,
        )
        claimed: list[ClaimedJob] = []
        for kept in ready[:limit]:
            kept.state, kept.worker, kept.expires_at = "running", worker, now + lease
            kept.lease += 1
            kept.attempt += 1
            claimed.append(
                ClaimedJob(
                    id=kept.id,
                    lease=kept.lease,
                    queue=queue,
                    job=kept.new.job,
                    arguments=kept.new.arguments,
                    attempt=kept.attempt,
                    attempts=kept.new.attempts,
                    waited=(now - kept.run_at).total_seconds(),
                    context=kept.new.context,
                    options=kept.new.options,
                )
            )
        return claimed

    async def complete(self, outcomes: Sequence[Outcome]) -> set[int]:
        """Apply outcomes; see `Engine.complete`."""
        fenced: set[int] = set()
        for outcome in outcomes:
            kept = self._holding(outcome.id, outcome.lease)
            if kept is None:
                fenced.add(outcome.id)
                continue
            match outcome:
                case Done():
                    del self._kept[kept.id]
                case Release():
                    kept.attempt -= 1
                    self._make_ready(kept, kept.run_at)
                case Retry(delay=delay, failure=failure):
                    self._fail(kept, failure)
                    self._make_ready(kept, self._clock() + delay)
                case Bury(failure=failure):
                    self._bury(kept, failure)
        return fenced

    async def heartbeat(self, leases: Sequence[tuple[int, int]], *, lease: timedelta) -> set[int]:
        """Extend leases; see `Engine.heartbeat`."""
        lost: set[int] = set()
        for id, fence in leases:
            kept = self._holding(id, fence)
            if kept is None:
                lost.add(id)
            else:
                kept.expires_at = self._clock() + lease
        return lost

    async def promote(self, *, limit: int = 1000) -> timedelta | None:
        """Make due jobs ready; see `Engine.promote`."""
        now = self._clock()
        scheduled = sorted(
            (kept for kept in self._kept.values() if kept.state == "scheduled"), key=lambda kept: kept.run_at
        )
        due = [kept for kept in scheduled if kept.run_at <= now][:limit]
        for kept in due:
            kept.state = "ready"
        self._wake(kept.new.queue for kept in due)
        left = scheduled[len(due) :]
        return max(left[0].run_at - now, timedelta(0)) if left else None

    async def rescue(self, *, limit: int = 1000) -> list[Rescued]:
        """Take expired jobs back; see `Engine.rescue`."""
        now = self._clock()
        expired = [
            kept
            for kept in self._kept.values()
            if kept.state == "running" and kept.expires_at is not None and kept.expires_at < now
        ]
        rescued: list[Rescued] = []
        for kept in expired[:limit]:
            buried = kept.attempt >= kept.new.attempts
            rescued.append(Rescued(kept.id, kept.new.queue, kept.new.job, kept.attempt, kept.worker or "", buried))
            if buried:
                self._bury(kept, _EXPIRED)
            else:
                self._fail(kept, _EXPIRED)
                self._make_ready(kept, now)
        return rescued

    async def fire(self, schedule: str, fire_time: datetime, job: NewJob | None) -> bool:
        """Enqueue a scheduled job once; see `Engine.fire`."""
        fires = self._fires.setdefault(schedule, set())
        if fire_time in fires:
            return False
        fires.add(fire_time)
        if job is not None:
            await self.enqueue([job])
        return True

    async def last_fire(self, schedule: str) -> datetime | None:
        """Return the latest fire time; see `Engine.last_fire`."""
        return max(self._fires.get(schedule, ()), default=None)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str]]:
        """Yield queues to look at; see `Engine.listen`."""
        arrived: asyncio.Queue[str] = asyncio.Queue()

        async def hints() -> AsyncIterator[str]:
            while True:
                yield await arrived.get()

        self._listeners.append(arrived)
        try:
            yield hints()
        finally:
            self._listeners.remove(arrived)

    async def now(self) -> datetime:
        """Return the backend's clock."""
        return self._clock()

    async def counts(self) -> list[QueueCounts]:
        """Count the jobs of every queue."""
        counted: list[QueueCounts] = []
        for queue in sorted({kept.new.queue for kept in self._kept.values()}):
            mine = [kept for kept in self._kept.values() if kept.new.queue == queue]
            ready = [kept.run_at for kept in mine if kept.state == "ready"]
            counted.append(
                QueueCounts(
                    queue=queue,
                    scheduled=sum(kept.state == "scheduled" for kept in mine),
                    ready=len(ready),
                    running=sum(kept.state == "running" for kept in mine),
                    dead=sum(kept.state == "dead" for kept in mine),
                    blocked=sum(kept.state == "blocked" for kept in mine),
                    held=sum(kept.state == "held" for kept in mine),
                    oldest_ready_at=min(ready, default=None),
                )
            )
        return counted

    async def jobs(
        self,
        *,
        queue: str | None = None,
        job: str | None = None,
        state: State | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> list[JobRecord]:
        """Return jobs that match; see `Engine.jobs`."""
        found = [
            kept
            for kept in self._kept.values()
            if queue in (None, kept.new.queue)
            and job in (None, kept.new.job)
            and state in (None, kept.state)
            and (before is None or kept.id < before)
        ]
        found.sort(key=lambda kept: kept.id, reverse=True)
        return [_record(kept) for kept in found[:limit]]

    async def find(self, id: int) -> JobRecord | None:
        """Return one job; see `Engine.find`."""
        kept = self._kept.get(id)
        return None if kept is None else _record(kept)

    async def retry_dead(self, ids: Sequence[int]) -> int:
        """Make dead jobs ready; see `Engine.retry_dead`."""
        count = 0
        for id in dict.fromkeys(ids):
            kept = self._kept.get(id)
            if kept is None or kept.state != "dead" or (kept.key is not None and self._taken(kept.key)):
                continue
            kept.attempt = 0
            kept.failures.clear()
            self._make_ready(kept, self._clock())
            count += 1
        return count

    async def discard(self, ids: Sequence[int]) -> int:
        """Delete dead or waiting jobs; see `Engine.discard`."""
        count = 0
        for id in dict.fromkeys(ids):
            kept = self._kept.get(id)
            if kept is not None and kept.state != "running":
                del self._kept[id]
                count += 1
        return count

    def _taken(self, key: tuple[str, str]) -> bool:
        return any(kept.key == key and kept.state != "dead" for kept in self._kept.values())

    def _holding(self, id: int, lease: int) -> _Kept | None:
        kept = self._kept.get(id)
        return kept if kept is not None and kept.state == "running" and kept.lease == lease else None

    def _make_ready(self, kept: _Kept, run_at: datetime) -> None:
        kept.lease += 1
        kept.run_at, kept.expires_at = run_at, None
        kept.state = "scheduled" if run_at > self._clock() else "ready"
        self._wake([kept.new.queue])

    def _bury(self, kept: _Kept, failure: Failure) -> None:
        self._fail(kept, failure)
        kept.state, kept.run_at, kept.expires_at = "dead", self._clock(), None

    def _fail(self, kept: _Kept, failure: Failure) -> None:
        kept.failures.append(
            {
                "attempt": kept.attempt,
                "at": self._clock().isoformat(),
                "worker": kept.worker,
                "error_class": failure.error_class,
                "message": failure.message,
                "traceback": failure.traceback,
            }
        )

    def _wake(self, queues: Iterable[str]) -> None:
        for queue in dict.fromkeys(queues):
            for listener in self._listeners:
                listener.put_nowait(queue)


def _record(kept: _Kept) -> JobRecord:
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
