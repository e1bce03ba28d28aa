"""Enqueues jobs that repeat, and tells the metrics how the queues stand.

Any number of schedulers may run: a fire time is written in the transaction that enqueues its job, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs import metrics as catalogue
from roadworthy.jobs.cron import Cron, Every
from roadworthy.jobs.engine import Engine
from roadworthy.jobs.enqueue import new_job
from roadworthy.jobs.missed import MOST_MADE_UP, due
from roadworthy.jobs.sealing import Keys
from roadworthy.jobs.spec import JobSpec, QueueSpec
from roadworthy.telemetry.logging import get_logger
from roadworthy.telemetry.registry import MetricRegistry

log = get_logger(__name__)

_LONGEST_SLEEP = 30.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_IDLE_PER_COUNTING = 49.0
_NOTED_EVERY = timedelta(minutes=1)
_FORGOTTEN_EVERY = timedelta(hours=1)
_KEPT_UNSEEN = timedelta(days=30)
"""For how long a schedule is remembered that no scheduler declares any more."""


@dataclass(slots=True)
class _Repeating:
    """A schedule in a scheduler's hands: up to when it has fired, and when that was last asked for."""

    spec: JobSpec
    schedule: Every | Cron
    since: datetime | None = None
    noted_at: datetime | None = None

    def rests(self, now: datetime) -> bool:
        """Whether nothing is due and the schedule was noted lately."""
        if self.since is None or self.noted_at is None or now - self.noted_at >= _NOTED_EVERY:
            return False
        return self.schedule.before(now) <= self.since


class Scheduler:
    """Fires the repeating jobs of a service by the engine's clock until it is told to stop.

    A schedule that was never seen before, or is declared otherwise than before, begins with its next fire time. Fire
    times that passed while no scheduler ran are made up for as the job declares.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Iterable[JobSpec],
        queues: Sequence[QueueSpec],
        *,
        metrics: MetricRegistry,
        observe_every: timedelta = catalogue.OBSERVED_EVERY,
        clock: Callable[[], float] = time.monotonic,
        keys: Keys | None = None,
    ) -> None:
        """`queues` are those whose counts are exported, each `observe_every`, or less often where counting takes long.

        `clock` counts seconds monotonically, `keys` are those of encrypted jobs.
        """
        self._engine = engine
        declared = tuple(jobs)
        self._jobs = tuple((spec.queue, spec.name) for spec in declared)
        self._schedules = [_Repeating(spec, schedule) for spec in declared if (schedule := spec.schedule) is not None]
        self._forgotten_at: datetime | None = None
        self._queues = tuple(queue.name for queue in queues)
        self._metrics = metrics
        catalogue.begin(metrics, self._jobs)
        self._observe_every = observe_every.total_seconds()
        self._clock = clock
        self._keys = keys

    async def run(self, stop: asyncio.Event) -> None:
        """Fire and observe until `stop` is set; survives the loss of the database."""
        log.info("scheduler started", schedules=[one.spec.name for one in self._schedules])
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(self._fire_forever()), group.create_task(self._observe_forever())]
            try:
                await stop.wait()
            finally:
                for loop in loops:
                    loop.cancel()
        log.info("scheduler stopped")

    async def _fire_forever(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                due_in = await self.fire_due()
                pause = _FIRST_PAUSE
            except DatabaseUnavailable as error:
                log.warning("cannot fire schedules", reason=str(error), again_in=pause)
                due_in, pause = pause, min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(min(max(due_in, 0.01), _LONGEST_SLEEP))

    async def fire_due(self) -> float:
        """Enqueue what is due and not yet enqueued; return the seconds until the next fire time."""
        now = await self._engine.now()
        for one in self._schedules:
            if not one.rests(now):
                await self._fire(one, now)
        await self._forget(now)
        waits = [(one.schedule.after(now) - now).total_seconds() for one in self._schedules]
        return min(waits, default=_LONGEST_SLEEP)

    async def _fire(self, one: _Repeating, now: datetime) -> None:
        spec, schedule = one.spec, one.schedule
        since = await self._engine.note_schedule(spec.name, schedule.definition, now)
        fire_times = due(schedule, spec.missed, since=since, now=now)
        if len(fire_times) == MOST_MADE_UP:
            log.warning("more was missed than is made up for", schedule=spec.name, since=since, made_up=MOST_MADE_UP)
        for fire_time in fire_times:
            local = schedule.at(fire_time)
            if await self._engine.fire(
                spec.name, fire_time, new_job(spec, spec.arguments.bind(), fire_time=local, keys=self._keys)
            ):
                log.info("schedule fired", schedule=spec.name, fire_time=local.isoformat())
        one.since, one.noted_at = max(since, schedule.before(now)), now

    async def _forget(self, now: datetime) -> None:
        """Forget schedules that are declared no more; those of this scheduler have just been noted."""
        if self._forgotten_at is None or now - self._forgotten_at >= _FORGOTTEN_EVERY:
            await self._engine.forget_schedules(now - _KEPT_UNSEEN)
            self._forgotten_at = now

    async def _observe_forever(self) -> None:
        while True:
            began = self._clock()
            with contextlib.suppress(DatabaseUnavailable):
                await self.observe()
            # Counting reads every job: of a million, it must not become the database's main work.
            await asyncio.sleep(max(self._observe_every, (self._clock() - began) * _IDLE_PER_COUNTING))

    async def observe(self) -> None:
        """Export how the queues stand now."""
        now = await self._engine.now()
        counts = {found.queue: found for found in await self._engine.counts()}
        paused = {(pause.queue, pause.job) for pause in await self._engine.operations.pauses()}
        for name in {*self._queues, *counts}:
            found = counts.get(name)
            for metric, value in (
                (catalogue.QUEUE_SCHEDULED, found.scheduled if found else 0),
                (catalogue.QUEUE_READY, found.ready if found else 0),
                (catalogue.QUEUE_RUNNING, found.running if found else 0),
                (catalogue.QUEUE_OVERDUE, found.overdue if found else 0),
                (catalogue.QUEUE_DEAD, found.dead if found else 0),
                (catalogue.QUEUE_BLOCKED, found.blocked if found else 0),
                (catalogue.QUEUE_PAUSED, int((name, None) in paused)),
                (catalogue.QUEUE_OLDEST_READY, _since(found.oldest_ready_at if found else None, now)),
            ):
                self._metrics.bound(metric).labels(name).set(value)
        for queue, job in self._jobs:
            self._metrics.bound(catalogue.JOB_PAUSED).labels(queue, job).set(int((queue, job) in paused))


def _since(ready_at: datetime | None, now: datetime) -> float:
    return (now if ready_at is None else ready_at).timestamp()
