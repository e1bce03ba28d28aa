"""Scales the worker processes of each queue between its declared bounds, as a HorizontalPodAutoscaler would.

It looks more often than Kubernetes does, for looking at one machine's own processes is cheap. All else is Kubernetes'
default, or what the queue declares.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.engine import Engine
from roadworthy.jobs.metrics import JOB_DURATION, QUEUE_DESIRED_WORKERS
from roadworthy.jobs.operations import QueueCounts
from roadworthy.jobs.spec import QueueSpec
from roadworthy.runtime.supervisor import Process, ProcessPlan, Supervisor
from roadworthy.runtime.usage import CpuMeter, Use, use_of
from roadworthy.scaling.desired import RecentMean, desired_workers
from roadworthy.scaling.queue import Load, Measured, QueueScaler
from roadworthy.scaling.replicas import Pod, Sample
from roadworthy.scaling.spec import Scaling, milli
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
        scaling: Mapping[str, Scaling] | None = None,
        clock: Callable[[], float] = time.monotonic,
        use: Callable[[Iterable[int]], Mapping[int, Use] | None] = use_of,
    ) -> None:
        """`metrics` must know the catalogue of jobs, `scaling` is what queues declare besides their latency.

        `clock` counts seconds monotonically; `use` tells what processes use, and may take its time in a thread.
        """
        declared = scaling or {}
        self._lanes = [_Lane(queue, declared.get(queue.name, Scaling())) for queue in queues]
        self._engine = engine
        self._supervisor = supervisor
        self._desired = metrics.bound(QUEUE_DESIRED_WORKERS)
        self._clock = clock
        self._use = use
        self._meter = CpuMeter()
        self._lives: dict[int, _Life] = {}
        self._blind: str | None = None
        self._cannot_measure = False

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
        measured = await self._measured()
        for lane in self._lanes:
            mean = lane.mean.update(self._clock(), *ended.get(lane.queue.name, (0.0, 0.0)))
            await self._scale(lane, self._load(lane.queue, counts, mean), measured)

    async def _counts(self) -> Mapping[str, QueueCounts] | None:
        try:
            if not all(self._working(lane.queue) for lane in self._lanes):
                # Making due jobs ready is the workers' part, and there may be none.
                await self._engine.promote()
            counts = {found.queue: found for found in await self._engine.counts()}
            for pause in await self._engine.operations.pauses():
                if pause.job is None and pause.queue in counts:
                    counts[pause.queue] = replace(counts[pause.queue], ready=0)
        except DatabaseUnavailable as error:
            if self._blind is None:
                _log.warning("cannot see the queues; the number of workers stays", reason=str(error))
            self._blind = str(error)
            return None
        self._blind = None
        return counts

    def _load(self, queue: QueueSpec, counts: Mapping[str, QueueCounts] | None, mean: timedelta | None) -> Load | str:
        """Return what there is to do. Jobs that wait for a limit, a pause or other jobs need no worker yet.

        But limits are looked after by workers, so that blocked jobs keep one. More than the limit of the whole queue
        keeps busy are never wanted.
        """
        if counts is None:
            return self._blind or ""
        found = counts.get(queue.name)
        waiting, running = (found.ready, found.running) if found else (0, 0)
        desired = desired_workers(
            waiting=waiting,
            running=running,
            mean_duration=mean,
            target_latency=queue.target_latency,
            slots=queue.concurrency,
        )
        depth = waiting + running
        for limit in queue.limits:
            if limit.at_once is not None and limit.per is None:
                desired = min(desired, math.ceil(limit.at_once / queue.concurrency))
                depth = min(depth, limit.at_once)
        if found and found.blocked:
            desired = max(desired, 1)
        self._desired.labels(queue.name).set(desired)
        return Load(desired, depth)

    async def _measured(self) -> Mapping[str, Measured] | None:
        """Return what each worker uses, by the name of its process, where a queue goes by that."""
        processes = [one for lane in self._lanes if lane.scaler.measures for one in self._working(lane.queue)]
        pids = {one.plan.name: pid for one in processes if (pid := one.status.pid) is not None}
        use = await asyncio.to_thread(self._use, pids.values()) if processes else {}
        if use is None:
            if not self._cannot_measure:
                _log.warning("this machine does not tell what processes use; workers are scaled by the rest")
            self._cannot_measure = True
            return None
        now = self._clock()
        rates = self._meter.update(now, {pid: used.cpu for pid, used in use.items()})
        self._lives = {pid: self._lives.get(pid, _Life(now)) for pid in pids.values()}
        measured = {}
        for one in processes:
            pid = pids.get(one.plan.name)
            pod = self._pod(one, pid, now)
            used = None if pid is None else use.get(pid)
            memory = None if used is None else Sample(milli(used.memory), at=now)
            measured[one.plan.name] = Measured(pod, None if pid is None else rates.get(pid), memory)
        return measured

    def _pod(self, process: Process, pid: int | None, now: float) -> Pod:
        """Return a worker as a pod. One that has not come up is pending: it has nothing to measure yet."""
        if pid is None or not process.ready.is_set():
            return Pod(process.plan.name, "Pending", ready="False", started_at=None)
        life = self._lives[pid]
        life.ready_since = now if life.ready_since is None else life.ready_since
        return Pod(process.plan.name, ready_since=life.ready_since, started_at=life.began)

    async def _scale(self, lane: _Lane, load: Load | str, measured: Mapping[str, Measured] | None) -> None:
        queue = lane.queue
        working = self._working(queue)
        pods = None if measured is None else [measured[name] for one in working if (name := one.plan.name) in measured]
        decision = lane.scaler.sync(load, pods, len(working), self._clock())
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


@dataclass(slots=True)
class _Life:
    """When a process was first seen, and since when it has been ready."""

    began: float
    ready_since: float | None = None


@dataclass(slots=True)
class _Lane:
    """A queue's scaling between two syncs."""

    queue: QueueSpec
    scaling: Scaling
    scaler: QueueScaler = field(init=False)
    mean: RecentMean = field(init=False)

    def __post_init__(self) -> None:
        self.scaler = QueueScaler(self.queue.workers, self.scaling, self.queue.scale_in_after)
        self.mean = RecentMean(_MEAN_OVER)


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
