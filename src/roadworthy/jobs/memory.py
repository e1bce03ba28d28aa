"""Jobs in this process's memory: for tests, and as the model that other engines must agree with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from roadworthy.jobs.engine import (
    REPLACED_AFTER,
    Bury,
    ClaimedJob,
    Done,
    Failure,
    NewJob,
    Outcome,
    QueueCounts,
    Release,
    Rescued,
    Retry,
)
from roadworthy.jobs.memory_operations import MemoryOperations
from roadworthy.jobs.memory_store import Kept, Store
from roadworthy.jobs.operations import State

_EXPIRED = Failure("LeaseExpired", "the worker stopped renewing its lease: it died, hung or lost its connection", "")


class MemoryEngine:
    """The engine without a database. Nothing is kept when the process ends, and no transaction is joined."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`clock` is the backend's clock."""
        self._store = Store(clock)
        self._fires: dict[str, datetime] = {}
        self._schedules: dict[str, dict[str, tuple[datetime, datetime]]] = {}
        self.operations = MemoryOperations(self._store)

    async def close(self) -> None:
        """Nothing is held."""

    async def enqueue(self, jobs: Sequence[NewJob], *, connection: Any | None = None) -> list[int | None]:
        """Add jobs; see `Engine.enqueue`. `connection` has no meaning here."""
        now = self._store.clock()
        ids: list[int | None] = []
        for new in jobs:
            if new.unique_key is not None and self._store.taken((new.job, new.unique_key)):
                ids.append(None)
                continue
            due = new.run_at or now + (new.delay or timedelta(0))
            id = next(self._store.ids)
            state: State = "scheduled" if due > now else "ready"
            self._store.kept[id] = Kept(id, new, state, now, max(due, now))
            ids.append(id)
        self._store.wake(job.queue for job in jobs)
        return ids

    async def claim(self, queue: str, *, limit: int, lease: timedelta, worker: str) -> list[ClaimedJob]:
        """Lease ready jobs; see `Engine.claim`."""
        now = self._store.clock()
        ready = sorted(
            (kept for kept in self._store.kept.values() if kept.state == "ready" and kept.new.queue == queue),
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
            kept = self._store.holding(outcome.id, outcome.lease)
            if kept is None:
                fenced.add(outcome.id)
                continue
            match outcome:
                case Done():
                    del self._store.kept[kept.id]
                case Release():
                    kept.attempt -= 1
                    self._store.make_ready(kept, kept.run_at)
                case Retry(delay=delay, failure=failure):
                    self._store.fail(kept, failure)
                    self._store.make_ready(kept, self._store.clock() + delay)
                case Bury(failure=failure):
                    self._store.bury(kept, failure)
        return fenced

    async def heartbeat(self, leases: Sequence[tuple[int, int]], *, lease: timedelta) -> set[int]:
        """Extend leases; see `Engine.heartbeat`."""
        lost: set[int] = set()
        for id, fence in leases:
            kept = self._store.holding(id, fence)
            if kept is None:
                lost.add(id)
            else:
                kept.expires_at = self._store.clock() + lease
        return lost

    async def promote(self, *, limit: int = 1000) -> timedelta | None:
        """Make due jobs ready; see `Engine.promote`."""
        now = self._store.clock()
        scheduled = sorted(
            (kept for kept in self._store.kept.values() if kept.state == "scheduled"), key=lambda kept: kept.run_at
        )
        due = [kept for kept in scheduled if kept.run_at <= now][:limit]
        for kept in due:
            kept.state = "ready"
        self._store.wake(kept.new.queue for kept in due)
        left = scheduled[len(due) :]
        return max(left[0].run_at - now, timedelta(0)) if left else None

    async def rescue(self, *, limit: int = 1000) -> list[Rescued]:
        """Take expired jobs back; see `Engine.rescue`."""
        now = self._store.clock()
        expired = [
            kept
            for kept in self._store.kept.values()
            if kept.state == "running" and kept.expires_at is not None and kept.expires_at < now
        ]
        rescued: list[Rescued] = []
        for kept in expired[:limit]:
            buried = kept.attempt >= kept.new.attempts
            rescued.append(Rescued(kept.id, kept.new.queue, kept.new.job, kept.attempt, kept.worker or "", buried))
            if buried:
                self._store.bury(kept, _EXPIRED)
            else:
                self._store.fail(kept, _EXPIRED)
                self._store.make_ready(kept, now)
        return rescued

    async def note_schedule(self, schedule: str, definition: str, now: datetime) -> datetime:
        """Note how a schedule is declared; see `Engine.note_schedule`."""
        noted = self._schedules.setdefault(schedule, {})
        since, seen_at = noted.get(definition, (now, now))
        if any(other_seen_at > seen_at + REPLACED_AFTER for _, other_seen_at in noted.values()):
            since = now
        noted[definition] = (since, max(seen_at, now))
        return max(since, self._fires.get(schedule, since))

    async def fire(self, schedule: str, fire_time: datetime, job: NewJob) -> bool:
        """Enqueue a scheduled job once; see `Engine.fire`."""
        if schedule in self._fires and self._fires[schedule] >= fire_time:
            return False
        self._fires[schedule] = fire_time
        await self.enqueue([job])
        return True

    async def last_fire(self, schedule: str) -> datetime | None:
        """Return the latest fire time; see `Engine.last_fire`."""
        return self._fires.get(schedule)

    async def forget_schedules(self, before: datetime) -> None:
        """Forget schedules not seen lately; see `Engine.forget_schedules`."""
        for noted in self._schedules.values():
            for definition in [one for one, (_, seen_at) in noted.items() if seen_at < before]:
                del noted[definition]
        for schedule in [name for name, at in self._fires.items() if at < before and not self._schedules.get(name)]:
            del self._fires[schedule]

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str]]:
        """Yield queues to look at; see `Engine.listen`."""
        arrived: asyncio.Queue[str] = asyncio.Queue()

        async def hints() -> AsyncIterator[str]:
            while True:
                yield await arrived.get()

        self._store.listeners.append(arrived)
        try:
            yield hints()
        finally:
            self._store.listeners.remove(arrived)

    async def now(self) -> datetime:
        """Return the backend's clock."""
        return self._store.clock()

    async def counts(self) -> list[QueueCounts]:
        """Count the jobs of every queue."""
        counted: list[QueueCounts] = []
        for queue in sorted({kept.new.queue for kept in self._store.kept.values()}):
            mine = [kept for kept in self._store.kept.values() if kept.new.queue == queue]
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
