"""How many workers a queue gets: its metrics put to the algorithm, sync by sync. Pure.

The demand of the queue is a number of workers already, so it adds without tolerance; the others have what the rules
say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from roadworthy.scaling.algorithm import Decision, History, Proposal, sync
from roadworthy.scaling.replicas import InvalidMetric, Pod, Sample, Tolerances, for_average_value, for_utilization
from roadworthy.scaling.spec import Behaviour, MetricTarget, Scaling, ScalingSpec, down, milli

DEMAND = "queue_desired_workers"
DEPTH = "depth"
CPU = "cpu"
MEMORY = "memory"

_ONE = milli(1)


@dataclass(frozen=True, slots=True)
class Load:
    """What there is to do: for how many workers, and how many jobs are ready or running."""

    desired: int
    jobs: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A worker as a pod, and what it uses: thousandths of a core and of a byte, None where that is not known."""

    pod: Pod
    cpu: Sample | None = None
    memory: Sample | None = None


class QueueScaler:
    """The scaling of one queue, with what it has to remember between two syncs."""

    def __init__(self, workers: tuple[int, int], scaling: Scaling, scale_in_after: timedelta) -> None:
        """`workers` are the fewest and the most."""
        rules = down(window=scale_in_after) if scaling.down is None else scaling.down
        metrics = [MetricTarget(DEMAND, "AverageValue", _ONE)]
        if scaling.depth is not None:
            metrics.append(MetricTarget(DEPTH, "AverageValue", milli(scaling.depth)))
        if scaling.cpu is not None:
            metrics.append(MetricTarget(CPU, "Utilization", scaling.cpu))
        if scaling.memory is not None:
            metrics.append(MetricTarget(MEMORY, "Utilization", scaling.memory))
        self.spec = ScalingSpec(*workers, tuple(metrics), Behaviour(scaling.up, rules))
        self._requests = scaling.requests
        self._history = History()

    @property
    def measures(self) -> bool:
        """Whether it has to be told what the workers use."""
        return any(metric.kind == "Utilization" for metric in self.spec.metrics)

    def sync(self, load: Load | str, measured: Sequence[Measured] | None, current: int, now: float) -> Decision:
        """Decide how many workers there are to be, of which there are `current`.

        A `load` that could not be seen is the reason in words. `measured` is None on a machine that cannot tell what
        processes use; it goes by the rest then.
        """
        proposals = []
        for metric in self.spec.metrics:
            if metric.kind == "AverageValue":
                proposals.append(self._by_load(metric, load, current))
            elif measured is not None:
                proposals.append(self._by_use(metric, measured, current, now))
        decision = sync(self.spec, self._history, current, proposals, now)
        self._history = decision.history
        return decision

    def _by_load(self, metric: MetricTarget, load: Load | str, current: int) -> Proposal:
        if isinstance(load, str):
            return Proposal(metric.name, None, load)
        below, above = self.spec.tolerances
        if metric.name == DEMAND:
            value, tolerances = load.desired, Tolerances(below, 0.0)
        else:
            value, tolerances = load.jobs, Tolerances(below, above)
        return Proposal(metric.name, for_average_value(milli(value), metric.target, current, tolerances))

    def _by_use(self, metric: MetricTarget, measured: Sequence[Measured], current: int, now: float) -> Proposal:
        request, sample_of = self._resource(metric.name)
        pods = [replace(one.pod, request=request, sample=sample_of(one)) for one in measured]
        tolerances = Tolerances(*self.spec.tolerances)
        try:
            wanted = for_utilization(pods, metric.target, current, tolerances, now=now, cpu=metric.name == CPU)
        except InvalidMetric as error:
            return Proposal(metric.name, None, str(error))
        return Proposal(metric.name, wanted)

    def _resource(self, name: str) -> tuple[int | None, Callable[[Measured], Sample | None]]:
        if name == CPU:
            cores = self._requests.cpu
            return None if cores is None else milli(cores), lambda one: one.cpu
        size = self._requests.memory
        return None if size is None else milli(size), lambda one: one.memory
