"""Scales the worker processes of each queue between its declared bounds, as a HorizontalPodAutoscaler would.

It looks more often than Kubernetes does, for looking at one machine's own processes is cheap, and adds workers without
tolerance, since what it goes by is a number of workers already. All else is Kubernetes' default.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.engine import Engine, QueueCounts
from roadworthy.jobs.metrics import JOB_DURATION, QUEUE_DESIRED_WORKERS
from roadworthy.jobs.spec import QueueSpec
from roadworthy.runtime.supervisor import Process, ProcessPlan, Supervisor
from roadworthy.scaling.algorithm import History, Proposal, sync
from roadworthy.scaling.desired import RecentMean, desired_workers
from roadworthy.scaling.replicas import Tolerances, for_average_value
from roadworthy.scaling.spec import Behaviour, MetricTarget, ScalingSpec, down, milli, up
from roadworthy.telemetry.exposition import Snapshot
from roadworthy.telemetry.logging import get_logger
from roadworthy.telemetry.registry import MetricRegistry

_log = get_logger(__name__)

SYNC = timedelta(seconds=5)
_MEAN_OVER = timedelta(minutes=5)


def worker_plan(queue: QueueSpec, number: int) -> ProcessPlan:
    """Return the plan of a queue's worker process; numbers begin at 1."""
    return ProcessPlan(f"worker-{queue.name}-{number}", "worker", queue.name)


class Autoscaler:
    """Adds and retires the worker processes of a supervisor."""

    def __init__(
        self,
        queues: Iterable[QueueSpec],
        engine: Engine,
        supervisor: Supervisor,
        metrics: MetricRegistry,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`metrics` must know the catalogue of jobs; `clock` counts seconds monotonically."""
        self._lanes = [_Lane(queue) for queue in queues]
        self._engine = engine
        self._supervisor = supervisor
        self._desired = metrics.bound(QUEUE_DESIRED_WORKERS)
        self._clock = clock
        self._blind: str | None = None

    async def run(self, every: timedelta = SYNC) -> None:
        """Scale until cancelled; an error costs one look, never the scaling."""
        while True:
            try:
                await self.sync()
            except Exception:
                _log.exception("scaling failed; it goes on")
            await asyncio.sleep(every.total_seconds())

    async def sync(self) -> None:
        """Look at every queue once, and scale what is to be scaled."""
        snapshots = await self._supervisor.snapshots()
        ended = durations([*snapshots.values(), self._supervisor.archive.snapshot])
        counts = await self._counts()
        for lane in self._lanes:
            await self._scale(lane, counts, *ended.get(lane.queue.name, (0.0, 0.0)))

    async def _counts(self) -> Mapping[str, QueueCounts] | None:
        try:
            if not all(self._working(lane.queue) for lane in self._lanes):
                # Making due jobs ready is the workers' part, and there may be none.
                await self._engine.promote()
            counts = {found.queue: found for found in await self._engine.counts()}
        except DatabaseUnavailable as error:
            if self._blind is None:
                _log.warning("cannot see the queues; the number of workers stays", reason=str(error))
            self._blind = str(error)
            return None
        self._blind = None
        return counts

    async def _scale(self, lane: _Lane, counts: Mapping[str, QueueCounts] | None, ended: float, seconds: float) -> None:
        queue, now = lane.queue, self._clock()
        working = self._working(queue)
        mean = lane.mean.update(now, ended, seconds)
        if counts is None:
            proposal = Proposal(QUEUE_DESIRED_WORKERS.name, None, self._blind or "")
        else:
            desired = lane.desired(counts.get(queue.name), mean)
            self._desired.labels(queue.name).set(desired)
            proposal = lane.proposal(desired, len(working))
        decision = sync(lane.spec, lane.history, len(working), [proposal], now)
        lane.history = decision.history
        if decision.replicas == len(working):
            return
        _log.info(
            "scaling",
            queue=queue.name,
            workers=decision.replicas,
            before=len(working),
            desired=decision.wanted,
            reason=decision.reason,
        )
        self._add(queue, decision.replicas - len(working))
        # Those that have not come up serve nobody; of the others, the youngest goes.
        idlest_last = sorted(working, key=lambda process: not process.ready.is_set())
        for process in idlest_last[decision.replicas :]:
            await process.retire()

    def _add(self, queue: QueueSpec, count: int) -> None:
        """Start `count` workers; with those that finish their last jobs, there are never more than twice the most."""
        present = {process.plan.name for process in self._workers(queue)}
        free = (worker_plan(queue, number) for number in range(1, 2 * queue.workers[1] + 1))
        for plan in [plan for plan in free if plan.name not in present][: max(count, 0)]:
            self._supervisor.add(plan)

    def _workers(self, queue: QueueSpec) -> list[Process]:
        return [
            process
            for process in self._supervisor.processes
            if process.plan.role == "worker" and process.plan.queue == queue.name
        ]

    def _working(self, queue: QueueSpec) -> list[Process]:
        return [process for process in self._workers(queue) if not process.retiring]


class _Lane:
    """A queue's scaling between two syncs."""

    def __init__(self, queue: QueueSpec) -> None:
        target = MetricTarget(QUEUE_DESIRED_WORKERS.name, "AverageValue", milli(1))
        behaviour = Behaviour(up(tolerance=0.0), down(window=queue.scale_in_after))
        self.queue = queue
        self.spec = ScalingSpec(*queue.workers, (target,), behaviour)
        self.history = History()
        self.mean = RecentMean(_MEAN_OVER)

    def desired(self, counts: QueueCounts | None, mean: timedelta | None) -> int:
        """Return how many workers the queue needs."""
        queue = self.queue
        return desired_workers(
            waiting=counts.ready if counts else 0,
            running=counts.running if counts else 0,
            mean_duration=mean,
            target_latency=queue.target_latency,
            slots=queue.concurrency,
        )

    def proposal(self, desired: int, working: int) -> Proposal:
        """Return what the algorithm makes of that number: one for each worker is the target."""
        (target,) = self.spec.metrics
        replicas = for_average_value(milli(desired), target.target, working, Tolerances(*self.spec.tolerances))
        return Proposal(target.name, replicas)


def durations(snapshots: Sequence[Snapshot]) -> dict[str, tuple[float, float]]:
    """Return, for each queue, how many attempts have ended in all and how many seconds they took."""
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for snapshot in snapshots:
        for family in snapshot.families:
            if family.name == JOB_DURATION.name:
                for sample in family.samples:
                    totals = found[dict(sample.labels)["queue"]]
                    if sample.name.endswith("_count"):
                        totals[0] += sample.value
                    elif sample.name.endswith("_sum"):
                        totals[1] += sample.value
    return {queue: (count, seconds) for queue, (count, seconds) in found.items()}
