"""Alerts on requests as a whole; objectives have their own."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import INTERVAL
from roadworthy.objectives.spec import AlertExample
from roadworthy.telemetry.metrics import HTTP_REQUEST_DURATION, HTTP_REQUESTS


def request_alerts(service: str) -> Iterator[Alert]:
    """Yield the alerts on requests that fail or take long."""
    labels = {"service": service}
    every = f"sum(rate({selected(HTTP_REQUESTS.name, labels)}[5m]))"
    failed = "sum(rate({}[5m]))".format(selected(HTTP_REQUESTS.name, labels, 'status=~"5.."'))
    good, bad = (
        selected(HTTP_REQUESTS.name, {**labels, "method": "GET", "route": "/", "status": status})
        for status in ("200", "500")
    )
    yield Alert(
        "HighAPIErrorRate",
        f"{failed} / ({every} > 0.1) > 0.05",
        minutes(5),
        "critical",
        "More than 5 % of requests fail",
        "{{ $value | humanizePercentage }} of requests are answered with a 5xx.",
        "Which route (by (route), status)? The log has each one's exception under its request id. Was there a deploy? "
        "Roll back first. Is the database away (/health)?",
        example=AlertExample(
            {good: "0+90x60", bad: "0+10x60"},
            {good: "0+96x60", bad: "0+4x60"},
            INTERVAL,
            {},
            {"{{ $value | humanizePercentage }}": "10%"},
        ),
    )
    bucket = f"sum by (method, route, le) (rate({selected(f'{HTTP_REQUEST_DURATION.name}_bucket', labels)}[5m]))"
    count = f"sum by (method, route) (rate({selected(f'{HTTP_REQUEST_DURATION.name}_count', labels)}[5m]))"
    yield Alert(
        "HighAPILatency",
        f"histogram_quantile(0.95, {bucket}) > 1\nand {count} > 0.1",
        minutes(5),
        "critical",
        "A route takes more than a second",
        "One in twenty requests of {{ $labels.method }} {{ $labels.route }} takes longer than "
        "{{ $value | humanizeDuration }}.",
        "Does the database take the time (slow queries, locks, database_pool_waiting), or a dependency, or the "
        "processor (HighCPUUsage)? Compare with the rate of requests.",
        example=AlertExample(
            _durations(service, slow=20),
            _durations(service, slow=2),
            INTERVAL,
            {"method": "GET", "route": "/"},
            {
                "{{ $labels.method }}": "GET",
                "{{ $labels.route }}": "/",
                "{{ $value | humanizeDuration }}": "2.125s",
            },
        ),
    )


def _durations(service: str, *, slow: int) -> dict[str, str]:
    """Return a histogram of 100 requests in each scrape, of which so many took between one and two and a half s."""
    labels = {"service": service, "method": "GET", "route": "/"}
    name = HTTP_REQUEST_DURATION.name
    return {
        selected(f"{name}_bucket", {**labels, "le": "1.0"}): f"0+{100 - slow}x60",
        selected(f"{name}_bucket", {**labels, "le": "2.5"}): "0+100x60",
        selected(f"{name}_bucket", {**labels, "le": "+Inf"}): "0+100x60",
        selected(f"{name}_count", labels): "0+100x60",
    }
