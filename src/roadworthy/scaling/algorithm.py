"""One sync of Kubernetes' HorizontalPodAutoscaler v2: from what the metrics ask for to what is done about it.

    combined   several metrics: the one that asks for most
    _stabilised   the past's recommendations hold the change back
    _limited   the policies hold it back further

The order and the rules are those of `reconcileAutoscaler` in the controller, the stabilisation and the policies those
of KEP-853, the tolerances of KEP-4951, scaling to zero of KEP-2021. Pure: what has to be remembered goes in and out as
a `History`, moments are in seconds on any one clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from roadworthy.scaling.spec import LARGEST_REPLICAS, Behaviour, Policy, Rules, ScalingSpec

_DOWNSCALE_WINDOW = 300.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a metric asks for; without `replicas`, `error` says why it says nothing."""

    metric: str
    replicas: int | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """What was recommended when, before it was held back, and by how much the number then changed."""

    recommendations: tuple[tuple[float, int], ...] = ()
    events: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas there are to be, why, and what to remember until the next sync.

    `wanted` is what the metrics asked for, None where they were not asked or had no answer.
    """

    replicas: int
    reason: str
    wanted: int | None
    history: History


def combined(proposals: Sequence[Proposal], current: int) -> Proposal:
    """Return the proposal for the most replicas.

    Metrics that say nothing may hide a need, so with one of them the others may only add: otherwise, and where none
    says anything, the result has no replicas but the first error.
    """
    valid = [proposal for proposal in proposals if proposal.replicas is not None]
    invalid = [proposal for proposal in proposals if proposal.replicas is None]
    best = max(valid, key=lambda proposal: proposal.replicas or 0, default=None)
    if best is None or (invalid and (best.replicas or 0) < current):
        first = invalid[0] if invalid else Proposal("", None, "no metric was given")
        count = f"{len(invalid)} of {len(proposals)} metrics say nothing"
        return Proposal(first.metric, None, f"{count}; {first.metric}: {first.error}")
    return best


def sync(spec: ScalingSpec, history: History, current: int, proposals: Sequence[Proposal], now: float) -> Decision:
    """Decide how many replicas there are to be, from `current` of them and what each metric asks for."""
    if not history.recommendations:
        history = History(((now, current),), history.events)
    if current == 0 and spec.fewest != 0:
        return Decision(0, "scaling is disabled: someone set the number to 0", None, history)
    if current > spec.most:
        return _changed(spec, history, current, spec.most, "above the maximum", None, now)
    if current < spec.fewest:
        return _changed(spec, history, current, spec.fewest, "below the minimum", None, now)
    best = combined(proposals, current)
    if best.replicas is None:
        return Decision(current, best.error, None, history)
    wanted = max(best.replicas, 0)
    stable, history = _stabilised(spec.behaviour, history, current, wanted, now)
    result = _limited(spec, history, current, stable, now)
    return _changed(spec, history, current, result, _reason(best.metric, current, wanted, stable, result), wanted, now)


def _reason(metric: str, current: int, wanted: int, stable: int, result: int) -> str:
    cause = f"{metric} above target" if wanted > current else "all metrics below target"
    if wanted == current:
        cause = "all metrics at target"
    if result != stable:
        return f"{cause}, limited by the policies or bounds"
    return cause if stable == wanted else f"{cause}, held back by earlier recommendations"


def _changed(
    spec: ScalingSpec, history: History, current: int, replicas: int, reason: str, wanted: int | None, now: float
) -> Decision:
    """Remember the change as an event; only policies of a behaviour ever look at it."""
    if replicas != current and spec.behaviour is not None:
        policies = (*spec.behaviour.up.policies, *spec.behaviour.down.policies)
        since = now - max(policy.period for policy in policies).total_seconds()
        kept = tuple(event for event in history.events if event[0] > since)
        history = History(history.recommendations, (*kept, (now, replicas - current)))
    return Decision(replicas, reason, wanted, history)


def _stabilised(
    behaviour: Behaviour | None, history: History, current: int, wanted: int, now: float
) -> tuple[int, History]:
    """Move from `current` only as far as every recommendation within the window agrees; remember `wanted` itself."""
    past = history.recommendations
    if behaviour is None:
        recent = tuple(entry for entry in past if entry[0] >= now - _DOWNSCALE_WINDOW)
        return max(wanted, *(count for _, count in recent), 0), History((*recent, (now, wanted)), history.events)
    up_since = now - behaviour.up.window.total_seconds()
    down_since = now - behaviour.down.window.total_seconds()
    lowest = min([wanted, *(count for at, count in past if at > up_since)])
    highest = max([wanted, *(count for at, count in past if at > down_since)])
    recent = tuple(entry for entry in past if entry[0] >= min(up_since, down_since))
    return min(max(current, lowest), highest), History((*recent, (now, wanted)), history.events)


def _limited(spec: ScalingSpec, history: History, current: int, stable: int, now: float) -> int:
    """Keep the change within what the policies and the bounds allow."""
    if spec.behaviour is None:
        return max(spec.fewest, min(stable, spec.most, max(2 * current, 4)))
    if stable > current:
        limit = _limit(spec.behaviour.up, _higher, max, min, history, current, now)
        return min(stable, spec.most, max(limit, current))
    if stable < current:
        limit = _limit(spec.behaviour.down, _lower, min, max, history, current, now)
        return max(stable, spec.fewest, min(limit, current))
    return stable


def _limit(
    rules: Rules,
    reach: Callable[[Policy, int], int],
    farthest: Callable[[Iterable[int]], int],
    nearest: Callable[[Iterable[int]], int],
    history: History,
    current: int,
    now: float,
) -> int:
    """Return how far the policies let the number go, each from what it was at the start of its period."""
    if rules.select == "Disabled":
        return current
    limits = []
    for policy in rules.policies:
        since = now - policy.period.total_seconds()
        start = current - sum(change for at, change in history.events if at > since)
        limits.append(max(-LARGEST_REPLICAS - 1, min(reach(policy, start), LARGEST_REPLICAS)))
    return farthest(limits) if rules.select == "Max" else nearest(limits)


def _higher(policy: Policy, start: int) -> int:
    """Rounded up, or a small number could never grow; in float64, where 10 % over 100 is a little over 110."""
    if policy.kind == "Pods":
        return start + policy.value
    return math.ceil(start * (1 + policy.value / 100))


def _lower(policy: Policy, start: int) -> int:
    """Cut off towards zero; in float64, where 90 % less than 30 is a little less than 3."""
    if policy.kind == "Pods":
        return start - policy.value
    return math.trunc(start * (1 - policy.value / 100))
