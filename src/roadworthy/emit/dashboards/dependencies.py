"""The board of what the service calls: dependencies with their breakers, and calls that are gathered."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.emit.dashboard import Dashboard, Panel, Query, Row, Variable
from roadworthy.emit.dashboards.expressions import highest, or_nothing, quantile, rate, summed
from roadworthy.emit.indicator import selected
from roadworthy.resilience import breaker_metrics
from roadworthy.resilience.dependency_metrics import (
    BATCH_KEYS,
    BATCH_REFUSED,
    BATCH_SHARED,
    BATCHES,
    CALLS,
    FALLBACKS,
    HEDGES,
    HEDGES_WON,
    REFUSED,
    RETRIES,
    RUNNING,
    SECONDS,
    UNRETRIED,
    WAITING,
)
from roadworthy.service import ServiceSpec

_CHOSEN = 'dependency=~"$dependency"'
_STATES = {number: state.replace("_", " ") for state, number in breaker_metrics.STATES.items()}
_ONE = "{{dependency}}"


def dependencies(spec: ServiceSpec) -> Dashboard | None:
    """Return the board of a service's dependencies and batches, or None where it has neither."""
    labels = {"service": spec.name}
    found: list[Row] = []
    variables: tuple[Variable, ...] = ()
    if spec.dependencies:
        found.append(Row("Calls", tuple(_calls(labels))))
        found.append(Row("What guards them", tuple(_guards(spec))))
        variables = (Variable("dependency", selected(CALLS.name, labels)),)
    if spec.batches:
        found.append(Row("Gathered calls", tuple(_batches(labels))))
    return Dashboard("dependencies", "Dependencies", tuple(found), variables) if found else None


def _calls(labels: dict[str, str]) -> Iterator[Panel]:
    every = rate(CALLS.name, labels, _CHOSEN, by=("dependency",))
    failed = rate(CALLS.name, labels, _CHOSEN, 'outcome=~"failed|late"', by=("dependency",))
    yield Panel("Calls", (Query(highest(every), _ONE),), unit="ops")
    yield Panel("Calls that fail", (Query(highest(f"{failed} / {every}"), _ONE),), unit="percentunit")
    yield Panel(
        "Time of a call, 19 in 20",
        (Query(highest(quantile(0.95, SECONDS.name, labels, _CHOSEN, by=("dependency",))), _ONE),),
        unit="s",
        description="With all its attempts and waits.",
    )
    yield Panel(
        "Calls by outcome", (Query(rate(CALLS.name, labels, _CHOSEN, by=("outcome",)), "{{outcome}}"),), unit="ops"
    )
    yield Panel(
        "Calls under way",
        (
            Query(summed(selected(RUNNING.name, labels, _CHOSEN)), "running"),
            Query(or_nothing(summed(selected(WAITING.name, labels, _CHOSEN))), "waiting for a place"),
        ),
        unit="none",
    )


def _guards(spec: ServiceSpec) -> Iterator[Panel]:
    labels = {"service": spec.name}
    if any(one.breaker is not None for one in spec.dependencies):
        state = f"max by (breaker) ({selected(breaker_metrics.STATE.name, labels)})"
        yield Panel(
            "Breakers",
            (Query(highest(state), "{{breaker}}"),),
            unit="none",
            description="From 2 on calls are refused.",
            alert="BreakerOpen",
            values=_STATES,
        )
    yield Panel(
        "Calls that were not made",
        (Query(rate(REFUSED.name, labels, _CHOSEN, by=("by",)), "held back by the {{by}}"),),
        unit="ops",
    )
    tries = ((RETRIES, "tried again"), (UNRETRIED, "past the budget"), (HEDGES, "hedged"), (HEDGES_WON, "hedge won"))
    yield Panel(
        "Further attempts",
        tuple(Query(or_nothing(rate(metric.name, labels, _CHOSEN)), name) for metric, name in tries),
        unit="ops",
    )
    yield Panel(
        "Answered by a fallback",
        (Query(highest(rate(FALLBACKS.name, labels, _CHOSEN, by=("dependency", "rung"))), "{{dependency}}: {{rung}}"),),
        unit="ops",
        may_be_empty="No fallback was needed.",
    )


def _batches(labels: dict[str, str]) -> Iterator[Panel]:
    by = ("batch",)
    keys = rate(BATCH_KEYS.name, labels, by=by)
    yield Panel("Keys asked for", (Query(highest(keys), "{{batch}}"),), unit="ops")
    size = f"{keys} / {rate(BATCHES.name, labels, by=by)}"
    yield Panel("Keys in a call", (Query(highest(size), "{{batch}}"),), unit="short")
    yield Panel(
        "Shared and refused",
        (
            Query(rate(BATCH_SHARED.name, labels), "had another's key"),
            Query(rate(BATCH_REFUSED.name, labels), "refused, for too many wait"),
        ),
        unit="ops",
    )
