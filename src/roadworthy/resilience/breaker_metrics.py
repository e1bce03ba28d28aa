"""Every metric that breakers export, read from what they count when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from roadworthy.telemetry.spec import Label, MetricSpec

if TYPE_CHECKING:
    from roadworthy.resilience.breaker import Breaker, State
    from roadworthy.telemetry.registry import MetricRegistry

_BREAKER = Label("breaker")

STATES: Final[dict[State, int]] = {
    "metrics_only": -2,
    "disabled": -1,
    "closed": 0,
    "half_open": 1,
    "open": 2,
    "forced_open": 3,
}
"""The number by which a state is exported: of several processes the largest tells, and from 2 on calls are refused."""

STATE = MetricSpec(
    "breaker_state",
    "gauge",
    "The state of a breaker: 0 closed, 1 half open, 2 open, 3 forced open, -1 disabled, -2 metrics only.",
    (_BREAKER,),
    across="max",
)
CALLS = MetricSpec(
    "breaker_calls_total",
    "counter",
    "Calls through a breaker, by what became of them: succeeded, failed, ignored (cancelled, or an error that does not "
    "count) or rejected without being made.",
    (_BREAKER, Label("outcome", ("succeeded", "failed", "ignored", "rejected"))),
)
SLOW = MetricSpec("breaker_slow_calls_total", "counter", "Calls that a breaker took for slow.", (_BREAKER,))
TRANSITIONS = MetricSpec("breaker_transitions_total", "counter", "Changes of a breaker's state.", (_BREAKER,))

CATALOGUE: tuple[MetricSpec, ...] = (STATE, CALLS, SLOW, TRANSITIONS)


def track(registry: MetricRegistry, breakers: Iterable[Breaker]) -> None:
    """Have `registry` tell of breakers: a call counts in a plain number, which is carried over at each snapshot."""
    tracked = list(breakers)
    states = [(breaker, registry.bound(STATE).labels(breaker.name).set) for breaker in tracked]
    carried = [series for breaker in tracked for series in _series(registry, breaker)]
    told = [0] * len(carried)

    def carry() -> None:
        for breaker, tell in states:
            tell(STATES[breaker.state])
        for index, (read, write) in enumerate(carried):
            value = read()
            write(value - told[index])
            told[index] = value

    registry.before_reading(carry)


def _series(registry: MetricRegistry, breaker: Breaker) -> Iterator[tuple[Callable[[], int], Callable[[float], None]]]:
    name, calls = breaker.name, registry.bound(CALLS)
    yield lambda: breaker.successes, calls.labels(name, "succeeded").inc
    yield lambda: breaker.failures, calls.labels(name, "failed").inc
    yield lambda: breaker.ignored, calls.labels(name, "ignored").inc
    yield lambda: breaker.rejected, calls.labels(name, "rejected").inc
    yield lambda: breaker.slow, registry.bound(SLOW).labels(name).inc
    yield lambda: breaker.transitions, registry.bound(TRANSITIONS).labels(name).inc
