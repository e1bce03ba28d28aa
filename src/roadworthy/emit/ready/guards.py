"""Alerts on what holds requests and calls back: limits, breakers, load shedding."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import INTERVAL
from roadworthy.limits.metrics import DECISIONS, STORE_UP
from roadworthy.objectives.spec import AlertExample
from roadworthy.resilience import shedding_metrics
from roadworthy.resilience.breaker_metrics import CALLS, STATE
from roadworthy.service import ServiceSpec

_HALF_OPEN = 1


def guard_alerts(spec: ServiceSpec) -> Iterator[Alert]:
    """Yield the alerts on limits that refuse much, breakers that stay open, and requests that are turned away."""
    if spec.limits:
        yield _rejections(spec.name, spec.limits[0].name)
        yield _limits_alone(spec.name)
    if spec.dependencies:
        yield _breaker(spec.name, spec.dependencies[0].name)
    if spec.shedding is not None:
        yield _shedding(spec.name)


def _rejections(service: str, limit: str) -> Alert:
    labels = {"service": service}
    denied = selected(DECISIONS.name, labels | {"outcome": "denied"})
    every = selected(DECISIONS.name, labels)
    one = labels | {"limit": limit}
    refused, let = (selected(DECISIONS.name, one | {"outcome": outcome}) for outcome in ("denied", "admitted"))
    by = "sum by (limit)"
    return Alert(
        "RateLimitRejectionsHigh",
        f"{by} (rate({denied}[5m])) / ({by} (rate({every}[5m])) > 0.5) > 0.1",
        minutes(10),
        "warning",
        "A rate limit refuses many requests",
        "The limit {{ $labels.limit }} refuses {{ $value | humanizePercentage }} of what it is asked.",
        "Is it one client, or everybody? One: tell them, or leave it. Everybody: did they become more, or does one "
        "of your own clients ask too often since a release? Raise the limit if the service bears it.",
        example=AlertExample(
            {refused: "0+40x80", let: "0+60x80"},
            {refused: "0+5x80", let: "0+95x80"},
            2 * INTERVAL,
            {"limit": limit},
            {"{{ $labels.limit }}": limit, "{{ $value | humanizePercentage }}": "40%"},
        ),
    )


def _limits_alone(service: str) -> Alert:
    up = selected(STORE_UP.name, {"service": service})
    return Alert(
        "RateLimitStoreDown",
        f"min({up}) == 0",
        minutes(5),
        "warning",
        "Rate limits are counted by each process alone",
        "The store that counts rate limits for all processes does not answer, so each limit does what its on_error "
        "says: allows, denies, or counts its share.",
        "Does Redis run (`redis-cli ping`), or, without one, PostgreSQL? Limits go on by themselves when it answers.",
        example=AlertExample({up: "0x60"}, {up: "1x60"}),
    )


def _breaker(service: str, dependency: str) -> Alert:
    state = selected(STATE.name, {"service": service, "breaker": dependency})
    calls = selected(CALLS.name, {"service": service}, 'outcome=~"failed|rejected"')
    rejected = selected(CALLS.name, {"service": service, "breaker": dependency, "outcome": "rejected"})
    return Alert(
        "BreakerOpen",
        # Half open is not well either, where calls fail: one that hangs keeps it so. Without calls it means nothing.
        f"max by (breaker) ({selected(STATE.name, {'service': service})}) >= {_HALF_OPEN}\n"
        f"and sum by (breaker) (increase({calls}[5m])) > 0",
        minutes(5),
        "warning",
        "A dependency has failed too often to be called",
        "The breaker of {{ $labels.breaker }} has not closed again: calls of it are refused, and answered by a "
        "fallback where one is declared.",
        "Does the dependency answer elsewhere? Its errors are in the log under its name. Somebody may have opened the "
        "breaker by hand (3). It closes by itself when calls succeed again.",
        example=AlertExample(
            {state: f"{_HALF_OPEN}x60", rejected: "0+5x60"},
            {state: f"{_HALF_OPEN}x60", rejected: "5x60"},
            INTERVAL,
            {"breaker": dependency},
            {"{{ $labels.breaker }}": dependency},
        ),
    )


def _shedding(service: str) -> Alert:
    requests = shedding_metrics.REQUESTS.name
    of = selected(requests, {"service": service, "priority": "read"})
    return Alert(
        "RequestsTurnedAway",
        f"sum(rate({selected(requests, {'service': service})}[5m])) > 0.1",
        minutes(5),
        "critical",
        "Requests are turned away",
        "{{ $value | humanize }} requests a second are answered 503, for there are more than can be answered in time.",
        "More requests than usual, or slower ones (http_request_duration_seconds by route)? Add processes, or look for "
        "what made them slow: the database, a dependency, a deploy.",
        example=AlertExample({of: "0+60x60"}, {of: "0+1x60"}, INTERVAL, {}, {"{{ $value | humanize }}": "2"}),
    )
