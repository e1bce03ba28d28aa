"""How many replicas one metric asks for: the `ReplicaCalculator` of Kubernetes' HorizontalPodAutoscaler.

Values are integers in milli-units, ratios are float64 and counts are int32, as in the controller: results agree with
it to the last replica. Moments are in seconds on any one clock. A metric that cannot be judged raises `InvalidMetric`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from roadworthy.scaling.spec import LARGEST_REPLICAS, LARGEST_VALUE

INITIALISATION = 300.0
"""The controller's `--horizontal-pod-autoscaler-cpu-initialization-period`, in seconds."""

READINESS_DELAY = 30.0
"""The controller's `--horizontal-pod-autoscaler-initial-readiness-delay`, in seconds."""


_Ratio = Callable[[Mapping[str, int]], float]


class InvalidMetric(ValueError):
    """A metric says nothing now; its message says why."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """The shares by which a ratio may lie below and above 1 without a change (one for each direction: KEP-4951)."""

    down: float
    up: float

    def hold(self, ratio: float) -> bool:
        """Whether `ratio` is near enough to 1; NaN is not."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Sample:
    """What a pod used: milli-units on average over the `window` seconds before the moment `at`."""

    value: int
    at: float = 0.0
    window: float = 0.0


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as the algorithm sees it.

    `ready` is the status of its Ready condition, None without one, and `ready_since` when that last changed.
    `request` is what it requested of the resource, in milli-units.
    """

    name: str
    phase: Literal["Pending", "Running", "Succeeded", "Failed"] = "Running"
    deleted: bool = False
    ready: Literal["True", "False", "Unknown"] | None = "True"
    ready_since: float = 0.0
    started_at: float | None = 0.0
    request: int | None = None
    sample: Sample | None = None


def for_average_value(total: int, target: int, replicas: int, tolerances: Tolerances) -> int:
    """Return the replicas for an External or Object metric of which each should have `target`.

    `replicas` is how many there are (the status), ready or not. With none, 0 / 0 is NaN and within no tolerance.
    """
    total = _int64(total)
    if tolerances.hold(_divided(float(total), float(target) * float(replicas))):
        return replicas
    return _ceil(total / target)


def for_value(value: int, target: int, replicas: int, ready: int, tolerances: Tolerances) -> int:
    """Return the replicas for an External or Object metric that should be `target` as a whole.

    `replicas` is how many are wanted now (the spec), `ready` how many pods are running and ready.
    """
    ratio = _int64(value) / target
    if replicas == 0:
        return _ceil(ratio)
    return replicas if tolerances.hold(ratio) else _ceil(ratio * ready)


def for_pods(pods: Sequence[Pod], target: int, replicas: int, tolerances: Tolerances, *, now: float) -> int:
    """Return the replicas for a metric of which each pod should have `target`.

    Raises:
        InvalidMetric: no pod that counts has a sample.
    """
    groups = _grouped(pods, cpu=False, now=now)

    def ratio(samples: Mapping[str, int]) -> float:
        return _quotient(_sum(samples.values()), len(samples)) / target

    return _calculated(groups, ratio, {pod.name: target for pod in groups.missing}, replicas, tolerances)


def for_utilization(
    pods: Sequence[Pod],
    percent: int,
    replicas: int,
    tolerances: Tolerances,
    *,
    now: float,
    cpu: bool = True,
    initialisation: float = INITIALISATION,
    readiness_delay: float = READINESS_DELAY,
) -> int:
    """Return the replicas for a resource of which pods should use `percent` of what they requested.

    With `cpu`, the samples of pods that are still starting are left out, for starting costs more than running.

    Raises:
        InvalidMetric: a pod has no request, or no pod that counts has a sample.
    """
    requests = {pod.name: _request(pod) for pod in pods}
    groups = _grouped(pods, cpu=cpu, now=now, initialisation=initialisation, readiness_delay=readiness_delay)

    def ratio(samples: Mapping[str, int]) -> float:
        requested = _sum(requests[name] for name in samples)
        if requested == 0:
            raise InvalidMetric("the pods with samples request nothing; give them a request above 0")
        return _quotient(_sum(samples.values()) * 100, requested) / percent

    full = {pod.name: _quotient(requests[pod.name] * max(100, percent), 100) for pod in groups.missing}
    return _calculated(groups, ratio, full, replicas, tolerances)


@dataclass(frozen=True, slots=True)
class _Groups:
    """The samples of pods that count, by name; those without, and those that are not ready to be measured."""

    samples: dict[str, int]
    missing: list[Pod]
    unready: list[Pod]


def _grouped(
    pods: Iterable[Pod], *, cpu: bool, now: float, initialisation: float = 0.0, readiness_delay: float = 0.0
) -> _Groups:
    groups = _Groups({}, [], [])
    for pod in pods:
        if pod.deleted or pod.phase == "Failed":
            continue
        if pod.phase == "Pending":
            groups.unready.append(pod)
        elif pod.sample is None:
            groups.missing.append(pod)
        elif cpu and _is_starting(pod, pod.sample, now, initialisation, readiness_delay):
            groups.unready.append(pod)
        else:
            groups.samples[pod.name] = pod.sample.value
    if not groups.samples:
        raise InvalidMetric("no pod that counts has a sample")
    return groups


def _is_starting(pod: Pod, sample: Sample, now: float, initialisation: float, readiness_delay: float) -> bool:
    if pod.ready is None or pod.started_at is None:
        return True
    if pod.started_at + initialisation > now:
        return pod.ready == "False" or sample.at < pod.ready_since + sample.window
    # Later, only one that has never been ready: its condition has not changed since it began.
    return pod.ready == "False" and pod.started_at + readiness_delay > pod.ready_since


def _calculated(
    groups: _Groups, ratio: _Ratio, assumed: Mapping[str, int], replicas: int, tolerances: Tolerances
) -> int:
    """Judge what was measured, then once more with the cautious guess for the rest; `assumed` is it for a low ratio."""
    measured = ratio(groups.samples)
    count_unready = bool(groups.unready) and measured > 1.0
    if not groups.missing and not count_unready:
        return replicas if tolerances.hold(measured) else _ceil(measured * len(groups.samples))
    samples = dict(groups.samples)
    if measured < 1.0:
        samples.update(assumed)
    elif measured > 1.0:
        samples.update(dict.fromkeys(assumed, 0))
    if count_unready:
        samples.update({pod.name: 0 for pod in groups.unready})
    cautious = ratio(samples)
    if tolerances.hold(cautious) or (measured < 1.0 < cautious) or (cautious < 1.0 < measured):
        return replicas
    wanted = _ceil(cautious * len(samples))
    against = wanted > replicas if cautious < 1.0 else wanted < replicas
    return replicas if against else wanted


def _request(pod: Pod) -> int:
    if pod.request is None:
        raise InvalidMetric(f"pod {pod.name!r} requests nothing of the resource; its use cannot be told in percent")
    return pod.request


def _sum(values: Iterable[int]) -> int:
    return _int64(sum(values))


def _int64(value: int) -> int:
    return max(-LARGEST_VALUE - 1, min(value, LARGEST_VALUE))


def _quotient(value: int, by: int) -> int:
    """Divide as Go does, towards zero."""
    return value // by if value >= 0 else -(-value // by)


def _divided(value: float, by: float) -> float:
    """Divide as IEEE 754 does."""
    if by:
        return value / by
    return math.nan if value == 0 or math.isnan(value) else math.copysign(math.inf, value)


def _ceil(count: float) -> int:
    return math.ceil(max(-LARGEST_REPLICAS - 1.0, min(count, float(LARGEST_REPLICAS))))
