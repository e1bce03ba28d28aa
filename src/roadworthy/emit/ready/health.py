"""Alerts on what health tells of: a check that fails, an event loop that lags."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.health.metrics import LAG, STATUS
from roadworthy.objectives.spec import AlertExample

_FAIL = 2


def health_alerts(service: str) -> Iterator[Alert]:
    """Yield the alerts on checks and event loops."""
    labels = {"service": service}
    status = selected(STATUS.name, labels | {"check": "database"})
    yield Alert(
        "HealthCheckFailing",
        f"max by (check) ({selected(STATUS.name, labels)}) == {_FAIL}",
        minutes(5),
        "warning",
        "A check of the service's health fails",
        "The check {{ $labels.check }} fails; /health on the operations port says why.",
        "What does it look at, and does that answer? Where the check is critical, load balancers are told that the "
        "service is unwell.",
        example=AlertExample(
            {status: f"{_FAIL}x60"},
            {status: "1x60"},
            timedelta(0),
            {"check": "database"},
            {"{{ $labels.check }}": "database"},
        ),
    )
    lag = selected(LAG.name, labels | {"process": "web"})
    yield Alert(
        "EventLoopLagging",
        f"max by (process) ({selected(LAG.name, labels)}) > 0.5",
        minutes(5),
        "warning",
        "A process's event loop is held up",
        "The event loop of {{ $labels.process }} woke what was due {{ $value | humanizeDuration }} late: whatever else "
        "the process does has to wait that long.",
        "Something computes or blocks without awaiting. Which requests or jobs began before (the log)? Move it to a "
        "thread or a process job.",
        example=AlertExample(
            {lag: "0.75x60"},
            {lag: "0.5x60"},
            timedelta(0),
            {"process": "web"},
            {"{{ $labels.process }}": "web", "{{ $value | humanizeDuration }}": "750ms"},
        ),
    )
