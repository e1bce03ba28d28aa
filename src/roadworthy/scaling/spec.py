"""What scaling is to obey: metric targets, bounds, and how fast the number may change.

The shapes, rules and defaults are those of Kubernetes' `autoscaling/v2` HorizontalPodAutoscaler, so that one machine
and a cluster scale alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_UP, Decimal
from typing import Literal

from roadworthy.errors import DeclarationError

MetricKind = Literal["AverageValue", "Value", "Pods", "Utilization"]
PolicyKind = Literal["Pods", "Percent"]
Select = Literal["Max", "Min", "Disabled"]

TOLERANCE = 0.1
"""The controller's `--horizontal-pod-autoscaler-tolerance`."""

LARGEST_REPLICAS = 2**31 - 1
LARGEST_VALUE = 2**63 - 1

_LONGEST_WINDOW = timedelta(hours=1)
_LONGEST_PERIOD = timedelta(minutes=30)
_MOST_CORES = 1_000_000
_MOST_PERCENT = 10_000


def milli(quantity: Decimal | int | float) -> int:
    """Return a quantity in milli-units, rounded away from zero and capped, as Kubernetes' `Quantity.MilliValue` does.

    Raises:
        ValueError: it is not a number, or infinite.
    """
    exact = Decimal(repr(quantity)) if isinstance(quantity, float) else Decimal(quantity)
    if not exact.is_finite():
        raise ValueError(f"{quantity} is no quantity; only finite numbers can be compared with a target")
    if abs(exact) >= LARGEST_VALUE // 1000:
        return LARGEST_VALUE if exact > 0 else -LARGEST_VALUE
    return int((exact * 1000).to_integral_value(ROUND_UP))


@dataclass(frozen=True, slots=True)
class MetricTarget:
    """What a metric should be.

    `AverageValue` and `Value` are for an External or Object metric: its value shared among the replicas, or as it is.
    `Pods` is the mean over pods, `Utilization` their use of a resource in percent of what they requested. `target` is
    in milli-units, percent for `Utilization`.
    """

    name: str
    kind: MetricKind
    target: int

    def __post_init__(self) -> None:
        if not self.name:
            raise DeclarationError("a metric target needs the name of its metric")
        if not 1 <= self.target <= LARGEST_VALUE:
            raise DeclarationError(f"metric {self.name!r} has target={self.target}; it must be at least 1")


@dataclass(frozen=True, slots=True)
class Policy:
    """A change of at most `value` pods, or per cent of what there was, within any `period`."""

    kind: PolicyKind
    value: int
    period: timedelta

    def __post_init__(self) -> None:
        if not 1 <= self.value <= LARGEST_REPLICAS:
            raise DeclarationError(f"a {self.kind} policy has value={self.value}; it must be at least 1")
        if not timedelta(0) < self.period <= _LONGEST_PERIOD:
            raise DeclarationError(f"a {self.kind} policy has period={self.period}; it is above 0, at most 30 minutes")


@dataclass(frozen=True, slots=True)
class Rules:
    """How the number may change in one direction.

    `window` is how long a recommendation is heeded before it may be passed, `select` which of the `policies` counts
    (`Max` allows the largest change, `Disabled` none), `tolerance` the share by which a metric may miss its target
    without a change (KEP-4951).
    """

    policies: tuple[Policy, ...]
    window: timedelta = timedelta(0)
    select: Select = "Max"
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if not self.policies:
            raise DeclarationError('scaling rules need a policy; to forbid the direction, use select="Disabled"')
        if not timedelta(0) <= self.window <= _LONGEST_WINDOW:
            raise DeclarationError(f"scaling rules have window={self.window}; it is from 0 to an hour")
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise DeclarationError(f"scaling rules have tolerance={self.tolerance}; it is a share, 0 or more")


_QUARTER = timedelta(seconds=15)
_AS_MANY_AGAIN = (Policy("Pods", 4, _QUARTER), Policy("Percent", 100, _QUARTER))
_ALL = (Policy("Percent", 100, _QUARTER),)


def up(
    *policies: Policy, window: timedelta = timedelta(0), select: Select = "Max", tolerance: float = TOLERANCE
) -> Rules:
    """Return rules upwards, by default Kubernetes': four pods or a doubling every 15 s, whichever is more."""
    return Rules(policies or _AS_MANY_AGAIN, window, select, tolerance)


def down(
    *policies: Policy, window: timedelta = timedelta(minutes=5), select: Select = "Max", tolerance: float = TOLERANCE
) -> Rules:
    """Return rules downwards, by default Kubernetes': as far as five minutes of recommendations allow."""
    return Rules(policies or _ALL, window, select, tolerance)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the number may change, in each direction."""

    up: Rules = field(default_factory=up)
    down: Rules = field(default_factory=down)


@dataclass(frozen=True, slots=True)
class ScalingSpec:
    """What to scale between `fewest` and `most` replicas, by which metrics.

    Without a `behaviour`, the algorithm from before there was one applies: five minutes' highest recommendation, and
    at most a doubling, or four, at a time.
    """

    fewest: int
    most: int
    metrics: tuple[MetricTarget, ...]
    behaviour: Behaviour | None = field(default_factory=Behaviour)

    def __post_init__(self) -> None:
        if not 0 <= self.fewest <= self.most <= LARGEST_REPLICAS or self.most < 1:
            raise DeclarationError(
                f"scaling is declared from {self.fewest} to {self.most}; it needs 0 <= fewest <= most, most >= 1"
            )
        if not self.metrics:
            raise DeclarationError("scaling needs a metric to go by")
        if self.fewest == 0 and not any(metric.kind in ("AverageValue", "Value") for metric in self.metrics):
            raise DeclarationError(
                "scaling to zero needs an AverageValue or Value metric: without pods, no pod has anything to measure"
            )

    @property
    def tolerances(self) -> tuple[float, float]:
        """The shares by which a metric may lie below and above its target without a change."""
        if self.behaviour is None:
            return TOLERANCE, TOLERANCE
        return self.behaviour.down.tolerance, self.behaviour.up.tolerance


@dataclass(frozen=True, slots=True)
class Resources:
    """What a worker process, with those that it starts, is expected to use: `cpu` in cores, `memory` in bytes."""

    cpu: float | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.cpu is not None and not 0.001 <= self.cpu <= _MOST_CORES:
            raise DeclarationError(f"resources have cpu={self.cpu}; it is in cores, from 0.001 to {_MOST_CORES}")
        if self.memory is not None and not 1 <= self.memory <= LARGEST_VALUE // 1000:
            raise DeclarationError(f"resources have memory={self.memory}; it is in bytes, as in 512 * 2**20")


@dataclass(frozen=True, slots=True)
class Scaling:
    """By what the workers of a queue are scaled besides its latency, and how fast.

    `depth` is how many ready and running jobs there should be for each worker, `cpu` and `memory` how many per cent of
    what it `requests` a worker should use. The most that any of them asks for counts. `up` and `down` say how fast the
    number may change; without `down`, the queue's `scale_in_after` does.
    """

    depth: float | None = None
    cpu: int | None = None
    memory: int | None = None
    requests: Resources = field(default_factory=Resources)
    up: Rules = field(default_factory=up)
    down: Rules | None = None

    def __post_init__(self) -> None:
        if self.depth is not None and not (math.isfinite(self.depth) and self.depth >= 0.001):
            raise DeclarationError(f"scaling has depth={self.depth}; it is how many jobs there should be for a worker")
        for resource in ("cpu", "memory"):
            percent = getattr(self, resource)
            if percent is None:
                continue
            if not 1 <= percent <= _MOST_PERCENT:
                raise DeclarationError(
                    f"scaling has {resource}={percent}; it is in per cent of the request, from 1 to {_MOST_PERCENT}"
                )
            if getattr(self.requests, resource) is None:
                raise DeclarationError(
                    f"scaling has {resource}={percent} but no request; add requests=Resources({resource}=...)"
                )
