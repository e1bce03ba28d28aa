"""Jobs in PostgreSQL. The statements are in queries.sql, the tables in migrations/, the reasons in docs/decisions."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from roadworthy.database import driver, queries
from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.columns import decode_options, new_columns, outlasts
from roadworthy.jobs.current import lost
from roadworthy.jobs.engine import (
    PLAIN,
    REPLACED_AFTER,
    Bury,
    Cancelled,
    ClaimedJob,
    Done,
    NewJob,
    Outcome,
    Postpone,
    Release,
    Rescued,
    Retry,
    ScheduleRecord,
)
from roadworthy.jobs.frontier import WHOLE, Frontier, Place
from roadworthy.jobs.limits import LimitRule
from roadworthy.jobs.metrics import JOBS_ENQUEUED
from roadworthy.jobs.notify import Notifier
from roadworthy.jobs.operations import QueueCounts
from roadworthy.jobs.postgres_dead_letters import PostgresDeadLetters
from roadworthy.jobs.postgres_flows import PostgresFlows
from roadworthy.jobs.postgres_limits import Claim, PostgresLimits
from roadworthy.jobs.postgres_operations import PostgresOperations
from roadworthy.jobs.session import Session
from roadworthy.jobs.workers import WORKERS_KEPT, WorkerName, WorkerReport

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool
    from roadworthy.telemetry.registry import MetricRegistry

MIGRATIONS = Path(__file__).parent / "migrations"

CHANNEL = "roadworthy_jobs"

_FIRES_KEPT = timedelta(days=1)
_LEASE_EXPIRED = ("LeaseExpired", "the worker stopped renewing its lease: it died, hung or lost its connection")
_KEEPALIVE = 15.0
_COMMIT_WATCH = (0.001, 0.05, 2.0)
_LINE_SET = re.compile("^SET", re.MULTILINE)
_in_order = itemgetter(8, 9, 0)


class PostgresEngine:
    """The engine on PostgreSQL.

    Enqueuing and looking run on `pool` and so join its current transaction. Claims, completions and heartbeats run on
    three connections of the engine's own, whose plans are pinned and which no job can exhaust. A fourth carries single
    enqueues outside a transaction, and wake-ups: the pool resets a connection after each use, a round trip that this
    one saves. While it is busy, the pool serves.
    """

    def __init__(
        self,
        pool: Pool,
        dsn: str,
        *,
        metrics: MetricRegistry | None = None,
        notify_interval: timedelta = timedelta(milliseconds=10),
        timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        """`dsn` reaches the database of `pool`. `metrics` counts what is enqueued.

        `notify_interval` is the least time between two wake-ups from this process, `timeout` bounds each statement on
        the engine's own connections.
        """
        self._pool = pool
        self._dsn = dsn
        self._enqueued = None if metrics is None else metrics.bound(JOBS_ENQUEUED)
        self._sql: Mapping[str, str] = {
            **queries.load_queries("roadworthy.jobs"),
            **queries.load_queries("roadworthy.jobs", "flows.sql"),
        }
        pins = self._sql["pin_plans"]
        self._claims = Session(dsn, pins, name="roadworthy claims", timeout=timeout)
        self._completions = Session(dsn, pins, name="roadworthy completions", timeout=timeout)
        self._leases = Session(dsn, pins, name="roadworthy leases", timeout=timeout)
        self._direct = Session(dsn, pins, name="roadworthy enqueues", timeout=timeout)
        self._frontiers: defaultdict[str, Frontier] = defaultdict(Frontier)
        self._limits = PostgresLimits(pool, self._claims, self._leases, self._returned)
        self._notifier = Notifier(self._notify, interval=notify_interval)
        self._watches: set[asyncio.Task[None]] = set()
        self._watched: dict[Any, set[str]] = {}
        self.flows = PostgresFlows(
            pool, self._direct, woken=self._inserted, returned=self._returned, counted=self._count
        )
        self.operations = PostgresOperations(pool, self.flows, self._limits)
        self.dead_letters = PostgresDeadLetters(pool)

    async def close(self) -> None:
        """Send the wake-ups held back and close the engine's own connections; the pool stays open."""
        for wanted in self._watched.values():
            # Their transactions may be over already; a hint too early is only useless.
            self._notifier.wake(wanted)
        for watch in self._watches:
            watch.cancel()
        await self._notifier.close()
        for session in (self._claims, self._completions, self._leases, self._direct):
            await session.close()

    async def enqueue(self, jobs: Sequence[NewJob], *, connection: Any | None = None) -> list[int | None]:
        """Add jobs; see `Engine.enqueue`."""
        if not jobs:
            return []
        if connection is not None:
            return await self._insert(connection, jobs)
        if self._pool.current() is not None:
            async with self._pool.connection() as current:
                return await self._insert(current, jobs)
        # A wake-up on its way takes less than a turn of the pool does.
        if (self._direct.free or self._notifier.sending) and await self._direct_opened():
            rows = await self._direct.fetch(*self._insertion(jobs))
            self._notifier.wake({job.queue for job in jobs})
            return self._added(jobs, rows)
        async with driver.reaching(), self._pool.acquire() as own:
            return await self._insert(own, jobs)

    async def _direct_opened(self) -> bool:
        """Whether the connection for enqueues is there; where not, the pool waits for a database that is away."""
        with contextlib.suppress(DatabaseUnavailable):
            await self._direct.open()
            return True
        return False

    async def _insert(self, connection: Any, jobs: Sequence[NewJob]) -> list[int | None]:
        rows = await connection.fetch(*self._insertion(jobs))
        self._inserted(connection, {job.queue for job in jobs})
        return self._added(jobs, rows)

    def _insertion(self, jobs: Sequence[NewJob]) -> tuple[Any, ...]:
        """Return the statement that inserts `jobs`, and its arguments."""
        columns = new_columns(jobs)
        if not any(map(outlasts, jobs)):
            return self._sql["enqueue_jobs"], *columns
        count = len(jobs)
        return self._sql["add_jobs"], *columns, [None] * count, [0] * count, [False] * count

    def _inserted(self, connection: Any, wanted: set[str]) -> None:
        """Have workers look at the queues once what was inserted is committed."""
        if connection.is_in_transaction():
            self._wake_after_commit(connection, wanted)
        else:
            self._notifier.wake(wanted)

    def _added(self, jobs: Sequence[NewJob], rows: Sequence[Any]) -> list[int | None]:
        """Return the ids of `jobs`, in order, and count what was added."""
        ids = _ids_in_order(jobs, rows)
        self._count(job for job, id in zip(jobs, ids, strict=True) if id is not None)
        return ids

    def _count(self, jobs: Iterable[NewJob]) -> None:
        if self._enqueued is not None:
            for labels, count in Counter((job.queue, job.job) for job in jobs).items():
                self._enqueued.labels(*labels).inc(count)

    def _wake_after_commit(self, connection: Any, wanted: set[str]) -> None:
        watched = self._watched.get(connection)
        if watched is not None:
            watched.update(wanted)
            return
        self._watched[connection] = wanted
        watch = asyncio.get_running_loop().create_task(self._watch(connection, wanted))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)

    async def _watch(self, connection: Any, wanted: set[str]) -> None:
        """Send the wake-up when the caller's transaction is over: inside it, NOTIFY would serialise all commits."""
        pause, longest, patience = _COMMIT_WATCH
        try:
            # A connection that went back to its pool refuses to answer: its transaction is over, too.
            with contextlib.suppress(*driver.LOST):
                while patience > 0 and connection.is_in_transaction():
                    await asyncio.sleep(pause)
                    patience -= pause
                    pause = min(pause * 1.5, longest)
        finally:
            del self._watched[connection]
        self._notifier.wake(wanted)

    async def _notify(self, queues: list[str]) -> None:
        await self._direct.fetch(self._sql["notify"], queues)

    async def claim(
        self, queue: str, *, limit: int, lease: timedelta, worker: str, limits: Sequence[LimitRule] = ()
    ) -> list[ClaimedJob]:
        """Lease ready jobs; see `Engine.claim`."""
        wanted = Claim(queue, limit, lease, worker)
        rows = await self._claim(self._frontiers[queue], wanted, limits)
        if not rows and not limits and await self._limits.steers(queue):
            # Nothing comes of a queue in which a kind of job is paused.
            rows = await self._limits.claim(wanted, limits)
        rows.sort(key=_in_order)
        return [
            ClaimedJob(
                id,
                fence,
                queue,
                job,
                arguments.encode(),
                attempt,
                attempts,
                waited,
                None if context is None else msgspec.json.decode(context),
                PLAIN if options is None else decode_options(options),
            )
            for id, fence, job, arguments, attempt, attempts, context, waited, _, _, options in rows
        ]

    async def _claim(self, frontier: Frontier, wanted: Claim, limits: Sequence[LimitRule]) -> list[driver.Record]:
        if (spans := frontier.spans(time.monotonic())) is not None:
            rows = await self._claimed(wanted, limits, spans)
            frontier.claimed(sorted(map(_in_order, rows)))
            if rows or frontier.dear:
                return rows
        rows = await self._claimed(wanted, limits, None)
        took = self._limits.took if limits else self._claims.took
        frontier.claimed_whole(time.monotonic(), took, sorted(map(_in_order, rows)))
        return rows

    async def _claimed(
        self, wanted: Claim, limits: Sequence[LimitRule], spans: Sequence[tuple[Place, int]] | None
    ) -> list[driver.Record]:
        asked = (wanted.queue, wanted.limit, wanted.lease, wanted.worker)
        if limits:
            rows = await self._limits.claim(wanted, limits, WHOLE if spans is None else spans)
        elif spans is None:
            rows = await self._claims.fetch(self._sql["claim_jobs"], *asked)
        else:
            places, ends = zip(*spans, strict=True)
            rows = await self._claims.fetch(self._sql["claim_jobs_after"], *asked, *zip(*places, strict=True), ends)
        if len(rows) > wanted.limit:
            raise RuntimeError(f"a claim of {wanted.limit} jobs returned {len(rows)}: its plan ignores the limit")
        return rows

    def _returned(self, queues: Iterable[str]) -> None:
        """Have the queues looked at: jobs came back that may lie behind what this process claimed."""
        for queue in queues:
            self._frontiers[queue].returned()
        self._notifier.wake(queues)

    async def complete(self, outcomes: Sequence[Outcome]) -> set[int]:
        """Apply outcomes; see `Engine.complete`."""
        applied: set[int] = set()
        kinds: defaultdict[str, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            kinds[_statement(outcome)].append(outcome)
        for statement, some in kinds.items():
            # Sorted, so that two statements never wait for each other's rows.
            some.sort(key=_by_id)
            row = await self._completions.fetchrow(self._sql[statement], *_columns(statement, some))
            applied.update(row[0] or ())
            for queues in row[1:2]:
                self._returned(queues or ())
        return {outcome.id for outcome in outcomes} - applied

    @asynccontextmanager
    async def finishing(self, id: int, lease: int) -> AsyncIterator[Any]:
        """Open a transaction that ends a job as it commits; see `Engine.finishing`."""
        if self._pool.current() is not None:
            raise RuntimeError("a job finishes with a transaction of its own; leave the one that is open first")
        async with self._pool.transaction() as connection:
            yield connection
            async with self._pool.connection():
                await connection.execute(_LINE_SET.sub("SET LOCAL", self._sql["pin_plans"]))
                await connection.execute(self._sql["idle_briefly"])
                row = await connection.fetchrow(self._sql["finish_jobs"], [id], [lease], [None])
            if row is None or not row[0]:
                raise lost(id, lease)
        self._returned(row[1] or ())

    async def heartbeat(self, leases: Sequence[tuple[int, int]], *, lease: timedelta) -> set[int]:
        """Extend leases; see `Engine.heartbeat`."""
        ordered = sorted(leases)
        row = await self._leases.fetchrow(
            self._sql["extend_leases"], [id for id, _ in ordered], [fence for _, fence in ordered], lease
        )
        return {id for id, _ in ordered}.difference(row[0] or ())

    async def promote(self, *, limit: int = 1000) -> timedelta | None:
        """Make due jobs ready; see `Engine.promote`."""
        promoted, wanted = await self._leases.fetchrow(self._sql["promote_jobs"], limit)
        self._returned(wanted or ())
        if promoted == limit:
            return timedelta(0)
        rows = await self._leases.fetch(self._sql["next_due"])
        return max(rows[0][0], timedelta(0)) if rows else None

    async def rescue(self, *, limit: int = 1000) -> list[Rescued]:
        """Take expired jobs back; see `Engine.rescue`."""
        rows = await self._leases.fetch(self._sql["rescue_jobs"], limit, *_LEASE_EXPIRED)
        rescued = [Rescued(*row) for row in rows]
        self._returned({one.queue for one in rescued})
        return rescued

    async def note_schedule(self, schedule: str, definition: str, now: datetime) -> datetime:
        """Note how a schedule is declared; see `Engine.note_schedule`."""
        async with driver.reaching():
            since: datetime = await self._pool.fetchval(
                self._sql["note_schedule"], schedule, definition, now, REPLACED_AFTER
            )
        return since

    async def mend(self, queues: Sequence[str], limits: Sequence[LimitRule]) -> None:
        """Put limits right; see `Engine.mend`."""
        await self._limits.mend(queues, limits)

    async def fire(self, schedule: str, fire_time: datetime, job: NewJob) -> bool:
        """Enqueue a scheduled job once; see `Engine.fire`."""
        async with driver.reaching(), self._pool.transaction() as connection:
            if await connection.fetchval(self._sql["record_fire"], schedule, fire_time) is None:
                return False
            await connection.execute(self._sql["forget_fires"], schedule, fire_time - _FIRES_KEPT)
            await self._insert(connection, [job])
        return True

    async def schedules(self) -> list[ScheduleRecord]:
        """Return every schedule; see `Engine.schedules`."""
        async with driver.reaching():
            return [ScheduleRecord(*row) for row in await self._pool.fetch(self._sql["list_schedules"])]

    async def forget_schedules(self, before: datetime) -> None:
        """Forget schedules not seen lately; see `Engine.forget_schedules`."""
        async with driver.reaching(), self._pool.transaction() as connection:
            await connection.execute(self._sql["forget_definitions"], before)
            await connection.execute(self._sql["forget_schedules"], before)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str]]:
        """Yield queues to look at; see `Engine.listen`. Raises DatabaseUnavailable when the connection is lost."""
        connection = await driver.connect(self._dsn, application_name="roadworthy wake-ups")
        pending: dict[str, None] = {}
        arrived = asyncio.Event()

        def received(_connection: Any, _pid: int, _channel: str, queue: object) -> None:
            pending[str(queue)] = None
            arrived.set()

        async def hints() -> AsyncIterator[str]:
            while True:
                try:
                    async with asyncio.timeout(_KEEPALIVE):
                        await arrived.wait()
                except TimeoutError:
                    await connection.execute("SELECT 1")
                if connection.is_closed():
                    raise DatabaseUnavailable("the connection for wake-ups was lost; listen again")
                arrived.clear()
                while pending:
                    yield pending.popitem()[0]

        try:
            connection.add_termination_listener(lambda _connection: arrived.set())
            await connection.add_listener(CHANNEL, received)
            yield hints()
        except driver.TRANSIENT as error:
            raise DatabaseUnavailable(f"the connection for wake-ups was lost: {error}; listen again") from error
        finally:
            with contextlib.suppress(*driver.TRANSIENT):
                await connection.close(timeout=1)

    async def report_worker(self, worker: WorkerName, report: WorkerReport, *, up: timedelta, consumes: bool) -> None:
        """Keep what a worker tells; see `Engine.report_worker`."""
        told = msgspec.to_builtins(report)
        await self._leases.fetch(
            self._sql["report_worker"], worker.name, worker.host, worker.pid, up, consumes, told, WORKERS_KEPT
        )

    async def forget_worker(self, worker: WorkerName) -> None:
        """Forget a worker; see `Engine.forget_worker`."""
        await self._leases.fetch(self._sql["forget_worker"], worker.name, worker.host, worker.pid)

    async def now(self) -> datetime:
        """Return the database's clock."""
        async with driver.reaching():
            moment: datetime = await self._pool.fetchval("SELECT clock_timestamp()")
        return moment

    async def counts(self) -> list[QueueCounts]:
        """Count the jobs of every queue."""
        async with driver.reaching():
            return [QueueCounts(*row) for row in await self._pool.fetch(self._sql["count_jobs"])]


_COMPLETIONS: dict[type[Outcome], str] = {
    Release: "complete_released",
    Retry: "complete_retried",
    Bury: "complete_buried",
    Postpone: "postpone_jobs",
    Cancelled: "drop_jobs",
}


def _by_id(one: Outcome) -> int:
    return one.id


def _statement(outcome: Outcome) -> str:
    if type(outcome) is Done:
        return "complete_done" if outcome.plain else "finish_jobs"
    return _COMPLETIONS[type(outcome)]


def _columns(statement: str, outcomes: Sequence[Any]) -> list[Any]:
    columns: list[Any] = [[outcome.id for outcome in outcomes], [outcome.lease for outcome in outcomes]]
    match statement:
        case "finish_jobs":
            columns.append([None if outcome.result is None else outcome.result.decode() for outcome in outcomes])
        case "complete_retried" | "complete_buried":
            columns.append([outcome.failure.error_class for outcome in outcomes])
            columns.append([outcome.failure.message for outcome in outcomes])
            columns.append([outcome.failure.traceback for outcome in outcomes])
        case "drop_jobs":
            columns += [True, False]
    if statement in ("complete_retried", "postpone_jobs"):
        columns.append([outcome.delay for outcome in outcomes])
    return columns


def _ids_in_order(jobs: Sequence[NewJob], rows: Iterable[Any]) -> list[int | None]:
    keyed: dict[tuple[str, str], int] = {}
    plain: list[int] = []
    for id, job, key in rows:
        if key is None:
            plain.append(id)
        else:
            keyed[job, key] = id
    plain.sort(reverse=True)
    return [plain.pop() if job.unique_key is None else keyed.pop((job.job, job.unique_key), None) for job in jobs]
