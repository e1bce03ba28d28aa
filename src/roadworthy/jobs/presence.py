"""A worker's word of itself: every few seconds while it works, and a last one when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

import msgspec

from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.engine import Engine
from roadworthy.jobs.lane import Held, Lane
from roadworthy.jobs.workers import TOLD_EVERY, LongJob, QueueReport, WorkerName, WorkerReport, counted, since
from roadworthy.telemetry.registry import MetricRegistry

_MOST_LONG = 10
_LEAVE_WITHIN = 1.0


class Presence:
    """Tells the engine that a worker is there, what it holds and what it has counted."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        lanes: Mapping[str, Lane],
        attempts: Callable[[], Collection[Held]],
        metrics: MetricRegistry,
        consumes: Callable[[], bool],
        retires: Callable[[], bool],
        *,
        clock: Callable[[], float],
        every: timedelta = TOLD_EVERY,
    ) -> None:
        """`attempts` are the jobs that run, `clock` the one (seconds, rising) by which they began."""
        self.name = WorkerName(name, socket.gethostname(), os.getpid())
        self._engine = engine
        self._lanes = lanes
        self._attempts = attempts
        self._metrics = metrics
        self._consumes = consumes
        self._retires = retires
        self._clock = clock
        self._every = every.total_seconds()
        self._began = self._told_at = clock()
        self._told: Mapping[str, QueueReport] = {}

    async def run(self) -> None:
        """Tell for ever; when cancelled, say goodbye."""
        try:
            while True:
                # What is not told now is told the next time.
                with contextlib.suppress(DatabaseUnavailable):
                    await self._engine.report_worker(
                        self.name,
                        self.report(),
                        up=timedelta(seconds=self._clock() - self._began),
                        consumes=self._consumes(),
                    )
                await asyncio.sleep(self._every)
        finally:
            with contextlib.suppress(DatabaseUnavailable, TimeoutError):
                async with asyncio.timeout(_LEAVE_WITHIN):
                    await self._engine.forget_worker(self.name)

    def report(self) -> WorkerReport:
        """Return the worker as it stands, with what it has counted since the last time."""
        now = self._clock()
        span, self._told_at = now - self._told_at, now
        before, self._told = self._told, counted(self._metrics.snapshot(), self._lanes)
        queues = {
            name: msgspec.structs.replace(
                since(self._told[name], before.get(name)),
                slots=lane.queue.concurrency,
                running=lane.running,
                waiting=len(lane.waiting),
                stuck=lane.stuck,
            )
            for name, lane in self._lanes.items()
        }
        begun = sorted((held for held in self._attempts() if held.started_at), key=lambda held: held.started_at)
        longest = [
            LongJob(held.job.id, held.job.queue, held.job.job, held.job.attempt, round(now - held.started_at, 1))
            for held in begun[:_MOST_LONG]
        ]
        return WorkerReport(queues, round(span, 3), longest, self._retires())
