"""Every metric that health exports, read from what is known of the checks when it is scraped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadworthy.health.policy import Status
from roadworthy.telemetry.spec import Label, MetricSpec

if TYPE_CHECKING:
    from roadworthy.health.report import Health
    from roadworthy.telemetry.registry import Bound, MetricRegistry

_CHECK = Label("check")

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds of what a look takes."""

STATUS = MetricSpec(
    "health_check_status",
    "gauge",
    "What a check has settled on: 0 pass, 1 warn, 2 fail; -1 while nothing that counts is known.",
    (_CHECK,),
    across="max",
)
SEEN = MetricSpec(
    "health_check_timestamp_seconds",
    "gauge",
    "When what a check tells was seen, Unix time.",
    (_CHECK,),
    across="max",
)
DURATION = MetricSpec(
    "health_check_duration_seconds", "histogram", "How long a look of a check took.", (_CHECK,), SECONDS
)
TRANSITIONS = MetricSpec(
    "health_check_transitions_total",
    "counter",
    "Times that a check has settled on another status.",
    (_CHECK, Label("status", ("pass", "warn", "fail"))),
)
LAG = MetricSpec(
    "event_loop_lag_seconds",
    "gauge",
    "How late the event loop woke what was due, at worst in the last half minute.",
    across="each",
)

CATALOGUE: tuple[MetricSpec, ...] = (STATUS, SEEN, DURATION, TRANSITIONS, LAG)

_NUMBERS: dict[Status | None, int] = {None: -1, "pass": 0, "warn": 1, "fail": 2}  # nosec B105  # no password: what passes


def track(registry: MetricRegistry, health: Health) -> None:
    """Have `registry` tell of the checks of a process and of its event loop."""
    observer = _Counted(registry.bound(DURATION), registry.bound(TRANSITIONS))
    for watch in health.watches:
        watch.observer = observer
        for status in ("pass", "warn", "fail"):
            registry.bound(TRANSITIONS).labels(watch.check.name, status)

    def carry() -> None:
        for watch in health.watches:
            name = watch.check.name
            registry.bound(STATUS).labels(name).set(_NUMBERS[watch.status])
            if watch.seen_at is not None:
                registry.bound(SEEN).labels(name).set(watch.seen_at.timestamp())

    registry.before_reading(carry)
    registry.bound(LAG).track(health.worst_lag)


class _Counted:
    """Counts looks and transitions."""

    def __init__(self, durations: Bound, transitions: Bound) -> None:
        self._durations = durations
        self._transitions = transitions

    def looked(self, check: str, latency: float) -> None:
        self._durations.labels(check).observe(latency)

    def changed(self, check: str, status: Status) -> None:
        self._transitions.labels(check, status).inc()
