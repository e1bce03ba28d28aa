"""Jobs in this process's memory: for tests, and as the model that other engines must agree with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from roadworthy.jobs.current import lost
from roadworthy.jobs.engine import (
    REPLACED_AFTER,
    Bury,
    Cancelled,
    ClaimedJob,
    Done,
    Failure,
    NewJob,
    Outcome,
    Postpone,
    Release,
    Rescued,
    Retry,
    ScheduleRecord,
)
from roadworthy.jobs.limits import LimitRule
from roadworthy.jobs.memory_dead_letters import MemoryDeadLetters
from roadworthy.jobs.memory_flows import MemoryFlows
from roadworthy.jobs.memory_limits import MemoryLimits
from roadworthy.jobs.memory_operations import MemoryOperations
from roadworthy.jobs.memory_store import Store
from roadworthy.jobs.operations import QueueCounts
from roadworthy.jobs.workers import WORKERS_KEPT, WorkerName, WorkerRecord, WorkerReport

_EXPIRED = Failure("LeaseExpired", "the worker stopped renewing its lease: it died, hung or lost its connection", "")


class MemoryEngine:
    """The engine without a database. Nothing is kept when the process ends, and no transaction is joined."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`clock` is the backend's clock."""
        self._store = Store(clock)
        self._fires: dict[str, datetime] = {}
        self._schedules: dict[str, dict[str, tuple[datetime, datetime]]] = {}
        self._limits = MemoryLimits(self._store)
        self.flows = MemoryFlows(self._store)
        self.operations = MemoryOperations(self._store, self.flows)
        self.dead_letters = MemoryDeadLetters(self._store, self.flows)

    async def close(self) -> None:
        """Nothing is held."""

    async def enqueue(self, jobs: Sequence[NewJob], *, connection: Any | None = None) -> list[int | None]:
        """Add jobs; see `Engine.enqueue`. `connection` has no meaning here."""
        ids: list[int | None] = []
        for new in jobs:
            id = next(self._store.ids)
            ids.append(id if self._store.add(new, id, self._store.clock()) else None)
        self._store.wake(job.queue for job in jobs)
        return ids

    async def claim(
        self, queue: str, *, limit: int, lease: timedelta, worker: str, limits: Sequence[LimitRule] = ()
    ) -> list[ClaimedJob]:
        """Lease ready jobs; see `Engine.claim`."""
        now = self._store.clock()
        plain = not limits and all(paused != queue for paused, _ in self._store.pauses)
        ready = self._store.ready(queue)[:limit] if plain else self._limits.claim(queue, limit, limits)
        claimed: list[ClaimedJob] = []
        for kept in ready:
            kept.state, kept.worker, kept.expires_at = "running", worker, now + lease
            kept.lease += 1
            kept.attempt += 1
            if kept.new.options.unique_while == "waiting":
                kept.new = replace(kept.new, unique_key=None)
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
            slots, kept.holds = kept.holds, ()
            match outcome:
                case Done(result=result):
                    self.flows.succeed(kept, result)
                case Postpone(delay=delay):
                    kept.attempt -= 1
                    options = kept.new.options
                    snoozed = msgspec.structs.replace(options, snoozes=options.snoozes + 1)
                    kept.new = replace(kept.new, options=snoozed)
                    self._store.make_ready(kept, self._store.clock() + delay)
                case Cancelled():
                    self.flows.drop([kept.id], keep=True)
                case Release():
                    kept.attempt -= 1
                    self._store.make_ready(kept, kept.run_at)
                case Retry(delay=delay, failure=failure):
                    self._store.fail(kept, failure)
                    self._store.make_ready(kept, self._store.clock() + delay)
                case Bury(failure=failure):
                    self._store.bury(kept, failure)
                    self.flows.die(kept)
            self._limits.free(slots)
        return fenced

    @asynccontextmanager
    async def finishing(self, id: int, lease: int) -> AsyncIterator[Any]:
        """End a job with the block; see `Engine.finishing`. There is no transaction here."""
        yield None
        if await self.complete([Done(id, lease)]):
            raise lost(id, lease)

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
        moments = [kept.run_at for kept in scheduled[len(due) :][:1]]
        if (opens_at := self._limits.open()) is not None:
            moments.append(opens_at)
        return max(min(moments) - now, timedelta(0)) if moments else None

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
            slots, kept.holds = kept.holds, ()
            rescued.append(Rescued(kept.id, kept.new.queue, kept.new.job, kept.attempt, kept.worker or "", buried))
            if buried:
                self._store.bury(kept, _EXPIRED)
                self.flows.die(kept)
            else:
                self._store.fail(kept, _EXPIRED)
                self._store.make_ready(kept, now)
            self._limits.free(slots)
        return rescued

    async def mend(self, queues: Sequence[str], limits: Sequence[LimitRule]) -> None:
        """Put limits right; see `Engine.mend`."""
        self._limits.mend(queues, limits)

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

    async def schedules(self) -> list[ScheduleRecord]:
        """Return every schedule; see `Engine.schedules`."""
        return [
            ScheduleRecord(name, definition, since, seen_at, self._fires.get(name))
            for name, noted in sorted(self._schedules.items())
            for definition, (since, seen_at) in sorted(noted.items())
        ]

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

    async def report_worker(self, worker: WorkerName, report: WorkerReport, *, up: timedelta, consumes: bool) -> None:
        """Keep what a worker tells; see `Engine.report_worker`."""
        now = self._store.clock()
        self._store.workers = {
            name: told for name, told in self._store.workers.items() if now - told.seen_at <= WORKERS_KEPT
        }
        known = self._store.workers.get(worker)
        self._store.workers[worker] = WorkerRecord(
            worker.name,
            worker.host,
            worker.pid,
            now - up if known is None else known.started_at,
            now,
            timedelta(0),
            consumes,
            report,
        )

    async def forget_worker(self, worker: WorkerName) -> None:
        """Forget a worker; see `Engine.forget_worker`."""
        self._store.workers.pop(worker, None)

    async def now(self) -> datetime:
        """Return the backend's clock."""
        return self._store.clock()

    async def counts(self) -> list[QueueCounts]:
        """Count the jobs of every queue."""
        return self._store.counts()
