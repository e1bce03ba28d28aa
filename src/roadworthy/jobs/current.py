"""The job that the calling code is part of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from roadworthy.database.queries import load_queries
from roadworthy.errors import LeaseLost, NotRunning
from roadworthy.jobs.progress import Progress, Reporter
from roadworthy.jobs.sealing import Keys, opened

if TYPE_CHECKING:
    from roadworthy.jobs.engine import ClaimedJob, Engine, JobOptions


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A job that succeeded and is kept, with what it returned as JSON carries it."""

    id: int
    job: str
    result: Any


CURRENT: ContextVar[CurrentJob | None] = ContextVar("roadworthy_current_job", default=None)


class CurrentJob:
    """One attempt at a job, as its own code sees it. `attempt` counts from 1.

    `finished` says that its end was committed together with its effects, `cancelled` that it is to end now: somebody
    cancelled it, its time is over, or its worker stops. An async job is cancelled besides; one in a thread has to look.
    """

    __slots__ = ("_engine", "_keys", "_loop", "cancelled", "claimed", "finished", "reporter")

    def __init__(
        self,
        claimed: ClaimedJob,
        engine: Engine | None,
        loop: asyncio.AbstractEventLoop | None = None,
        keys: Keys | None = None,
    ) -> None:
        """Made by the worker, which runs on `loop`. Without `engine`, in a child process, there is nothing to tell."""
        self.claimed = claimed
        self.finished = False
        self.cancelled = False
        self.reporter: Reporter | None = None
        self._engine = engine
        self._loop = loop
        self._keys = keys

    @property
    def options(self) -> JobOptions:
        """What few jobs have."""
        return self.claimed.options

    @property
    def id(self) -> int:
        """The job's id."""
        return self.claimed.id

    @property
    def job(self) -> str:
        """The job's name."""
        return self.claimed.job

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self.claimed.queue

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.claimed.attempt

    @property
    def attempts(self) -> int:
        """How many attempts it has."""
        return self.claimed.attempts

    @property
    def lease(self) -> int:
        """The number of this attempt's lease, which grows from one holding of the job to the next."""
        return self.claimed.lease

    @property
    def fire_time(self) -> datetime | None:
        """When its schedule was due, in the schedule's time zone; None for a job that somebody enqueued."""
        return self.claimed.fire_time

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Tell how far the job has got: `done` of `total`, and a note of at most 1,000 characters.

        Returns at once, in any thread. Written at most once a second, and when the attempt ends; seen in
        `roadworthy jobs show`.

        Raises:
            NotRunning: it was used in a child process, where the service is not bound.
        """
        if self._engine is None or self._loop is None:
            raise NotRunning("current_job().progress()")
        if self.reporter is None:
            self.reporter = Reporter(self._engine.flows, self._loop, self.id, self.lease)
        self.reporter.report(Progress(done, total, note))

    async def predecessors(self) -> list[FinishedJob]:
        """Return the jobs that this one waited for in its workflow, by id, with their results: those that are kept.

        Raises:
            NotRunning: it was used in a child process, where the service is not bound.
        """
        if self._engine is None:
            raise NotRunning("current_job().predecessors()")
        found = await self._engine.flows.predecessors(self.id)
        return [
            FinishedJob(one.id, one.job, msgspec.json.decode(opened(one.result, one.options, one.job, self._keys)))
            for one in found
        ]

    @asynccontextmanager
    async def exactly_once(self) -> AsyncIterator[Any]:
        """Open a transaction whose commit is also the job's success; yield its connection.

        What the block writes is committed together with the job's end, or not at all, so no later attempt can write
        it again. What follows the block must not matter: if it raises, the job has succeeded all the same.

        Raises:
            LeaseLost: the job is no longer this attempt's; the transaction was rolled back.
            NotRunning: it was used in a child process, where the service is not bound.
        """
        if self._engine is None:
            raise NotRunning("current_job().exactly_once()")
        if self.finished:
            raise LeaseLost(f"job {self.id} has finished already; write all of its effects in one exactly_once()")
        try:
            async with self._engine.finishing(self.id, self.lease) as connection:
                yield connection
                # From here on, a heartbeat that finds the job gone does not mean that it was lost.
                self.finished = True
        except BaseException:
            self.finished = False
            raise

    async def fence(self, connection: Any) -> None:
        """Make the transaction of `connection` commit only while the job is this attempt's.

        The job's row stays locked until then, and heartbeats wait for it: make it the last statement.

        Raises:
            LeaseLost: the job is no longer this attempt's; let it out of the transaction's block.
        """
        if not connection.is_in_transaction():
            raise RuntimeError("fence() holds until the end of a transaction, and the connection is in none; begin one")
        if await connection.fetchval(load_queries("roadworthy.jobs")["fence_job"], self.id, self.lease) is None:
            raise lost(self.id, self.lease)


def current_job() -> CurrentJob | None:
    """Return the job that a worker is running in this task, thread or process; None outside one."""
    return CURRENT.get()


def lost(id: int, lease: int) -> LeaseLost:
    """Return the error for an effect of a holding that is over."""
    return LeaseLost(
        f"job {id} is no longer held under lease {lease}: another attempt has it, or it was reported as ended; what "
        "this one does is not to count"
    )
