"""Enqueues jobs that repeat, and tells the metrics how the queues stand.

Any number of schedulers may run: a fire time is written in the transaction that enqueues its job, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs import metrics as catalogue
from roadworthy.jobs.cron import Cron, Every
from roadworthy.jobs.engine import Engine
from roadworthy.jobs.enqueue import new_job
from roadworthy.jobs.spec import JobSpec, QueueSpec
from roadworthy.telemetry.logging import get_logger
from roadworthy.telemetry.registry import MetricRegistry

log = get_logger(__name__)

_LONGEST_SLEEP = 30.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_IDLE_PER_COUNTING = 49.0


class Scheduler:
    """Fires the repeating jobs of a service by the engine's clock until it is told to stop.

    A fire time that passed while no scheduler ran is made up for once, the latest only. A schedule never seen before
    begins with its next fire time.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Iterable[JobSpec],
        queues: Sequence[QueueSpec],
        *,
        metrics: MetricRegistry,
        observe_every: timedelta = timedelta(seconds=15),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`queues` are those whose counts are exported, each `observe_every`, or less often where counting takes long.

        `clock` counts seconds monotonically.
        """
        self._engine = engine
        self._schedules = {spec.name: (spec, schedule_of(spec)) for spec in jobs if spec.repeats}
        self._queues = tuple(queue.name for queue in queues)
        self._metrics = metrics
        self._observe_every = observe_every.total_seconds()
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Fire and observe until `stop` is set; survives the loss of the database."""
        log.info("scheduler started", schedules=list(self._schedules))
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
        for name, (spec, schedule) in self._schedules.items():
            latest = schedule.before(now)
            last = await self._engine.last_fire(name)
            if last is None:
                await self._engine.fire(name, latest, None)
            elif last < latest and await self._engine.fire(name, latest, new_job(spec, spec.arguments.bind())):
                log.info("schedule fired", schedule=name, fire_time=latest.isoformat())
        waits = [(schedule.after(now) - now).total_seconds() for _, schedule in self._schedules.values()]
        return min(waits, default=_LONGEST_SLEEP)

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
        for name in {*self._queues, *counts}:
            found = counts.get(name)
            for metric, value in (
                (catalogue.QUEUE_SCHEDULED, found.scheduled if found else 0),
                (catalogue.QUEUE_READY, found.ready if found else 0),
                (catalogue.QUEUE_RUNNING, found.running if found else 0),
                (catalogue.QUEUE_DEAD, found.dead if found else 0),
                (catalogue.QUEUE_OLDEST_READY, _since(found.oldest_ready_at if found else None, now)),
            ):
                self._metrics.bound(metric).labels(name).set(value)


def schedule_of(spec: JobSpec) -> Every | Cron:
    """Return when a repeating job fires."""
    if spec.every is not None:
        return Every(spec.every)
    if spec.cron is not None:
        return Cron.parse(spec.cron)
    raise ValueError(f"job {spec.name!r} does not repeat")


def _since(ready_at: datetime | None, now: datetime) -> float:
    return (now if ready_at is None else ready_at).timestamp()
