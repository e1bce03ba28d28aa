"""Alerts on what a process uses: processor, descriptors, connections."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from roadworthy.database.metrics import POOL_LIMIT, POOL_USED
from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import INTERVAL
from roadworthy.objectives.spec import AlertExample
from roadworthy.service import ServiceSpec


def process_alerts(spec: ServiceSpec) -> Iterator[Alert]:
    """Yield the alerts on processes, and on their pools of connections where there is a database."""
    yield from _processes(spec.name)
    if spec.database is not None or spec.queues:
        yield _connections(spec.name)


def _processes(service: str) -> Iterator[Alert]:
    labels = {"service": service}
    example = {"service": service, "process": "web"}
    cpu = selected("process_cpu_seconds_total", example)
    yield Alert(
        "HighCPUUsage",
        f"max by (process) (rate({selected('process_cpu_seconds_total', labels)}[5m])) > 0.9",
        minutes(10),
        "warning",
        "A process uses a whole processor",
        "{{ $labels.process }} uses {{ $value | humanizePercentage }} of one processor, and Python has no more than "
        "one: what it does now waits for itself.",
        "More load, or more work for each request? Compare with the rate of requests and jobs. Add processes, or look "
        "for what holds the event loop (event_loop_lag_seconds).",
        example=AlertExample(
            {cpu: "0+60x80"},
            {cpu: "0+20x80"},
            5 * INTERVAL,
            {"process": "web"},
            {"{{ $labels.process }}": "web", "{{ $value | humanizePercentage }}": "200%"},
        ),
    )
    used, most = selected("process_open_fds", labels), selected("process_max_fds", labels)
    yield Alert(
        "FileDescriptorsRunningOut",
        f"max by (process) ({used} / {most}) > 0.8",
        minutes(5),
        "critical",
        "A process is running out of file descriptors",
        "{{ $labels.process }} has {{ $value | humanizePercentage }} of the descriptors open that it may have; past "
        "them it can accept no connection.",
        "Which kind grows: connections of clients, of the pool, files? Restarting gives time; then look for the leak.",
        example=AlertExample(
            {selected("process_open_fds", example): "900x60", selected("process_max_fds", example): "1000x60"},
            {selected("process_open_fds", example): "700x60", selected("process_max_fds", example): "1000x60"},
            timedelta(0),
            {"process": "web"},
            {"{{ $labels.process }}": "web", "{{ $value | humanizePercentage }}": "90%"},
        ),
    )


def _connections(service: str) -> Alert:
    labels = {"service": service}
    used, limit = selected(POOL_USED.name, labels), selected(POOL_LIMIT.name, labels)
    web = {**labels, "process": "web"}
    of_web = selected(POOL_USED.name, web), selected(POOL_LIMIT.name, web)
    return Alert(
        "DatabasePoolExhausted",
        # Of each by itself: those of a process that waits are no use to another.
        f"max by (process) ({used} / {limit}) > 0.8",
        minutes(5),
        "critical",
        "Almost all database connections are in use",
        "{{ $labels.process }} uses {{ $value | humanizePercentage }} of the connections that it may open; past them, "
        "its requests or jobs wait for one another.",
        "Who holds them: long transactions, locks, slow queries (pg_stat_activity)? If load alone does, raise the "
        "pool's largest size, within what PostgreSQL has.",
        example=AlertExample(
            {of_web[0]: "9x60", of_web[1]: "10x60"},
            {of_web[0]: "7x60", of_web[1]: "10x60"},
            timedelta(0),
            {"process": "web"},
            {"{{ $labels.process }}": "web", "{{ $value | humanizePercentage }}": "90%"},
        ),
    )
