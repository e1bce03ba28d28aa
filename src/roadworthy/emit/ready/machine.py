"""Alerts on the machine that a service runs on, or the part of one that its container may use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.health import machine_metrics as seen
from roadworthy.objectives.spec import AlertExample

_DAY_SECONDS = 86400


def machine_alerts(service: str) -> Iterator[Alert]:
    """Yield the alerts on memory and on the disk."""
    labels = {"service": service}
    used, most = (selected(metric.name, labels) for metric in (seen.MEMORY_USED, seen.MEMORY_LIMIT))
    yield Alert(
        "HighMemoryUsage",
        f"max by (instance) ({used} / ({most} > 0)) > 0.9",
        minutes(10),
        "warning",
        "Memory is running out",
        "{{ $value | humanizePercentage }} of the memory where {{ $labels.instance }} runs is in use, the file cache "
        "left out; at the limit, the kernel kills.",
        "Which process grows (process_resident_memory_bytes by process)? One that grows steadily leaks: restart it, "
        "then look at what it kept. All at once: more processes, larger jobs, a cache with more entries= than before? "
        "Is it none of them, but something else on the machine? Then give the service a limit of its own.",
        example=AlertExample(
            {used: "95x60", most: "100x60"},
            {used: "85x60", most: "100x60"},
            timedelta(0),
            {"instance": ""},
            {"{{ $labels.instance }}": "", "{{ $value | humanizePercentage }}": "95%"},
        ),
    )
    yield _disk(labels)


def _disk(labels: dict[str, str]) -> Alert:
    free, size = (selected(metric.name, labels) for metric in (seen.DISK_FREE, seen.DISK_SIZE))
    of = {**labels, "disk": "data"}
    free_one, size_one = (selected(metric.name, of) for metric in (seen.DISK_FREE, seen.DISK_SIZE))
    by = "max by (instance, disk)"
    # A forecast from a few minutes' samples is none, and a disk with much room left takes what a day brings.
    forecast = f"predict_linear({free}[6h], {_DAY_SECONDS}) < 0 and {free} / {size} < 0.4 and {free} offset 6h >= 0"
    return Alert(
        "DiskSpaceLow",
        f"{by} ({free} / {size} < 0.1)\nor {by} ({free} / {size} and ({forecast}))",
        minutes(5),
        "critical",
        "The disk is getting full",
        "{{ $value | humanizePercentage }} of the disk {{ $labels.disk }} where {{ $labels.instance }} runs is left: "
        "that is less than a tenth, or at the pace of the last six hours it is full within a day. Without room "
        "PostgreSQL stops.",
        "What grew: the database (database_size_bytes), its log (`du -sh` of pg_wal; a replication slot that nobody "
        "reads keeps it), log files, something else? Make room first: old log files and backups, then what the service "
        "keeps for longer than it must (keep_dead=, retention jobs). Deleted rows give no room back to the disk before "
        "VACUUM FULL, which locks the table.",
        example=AlertExample(
            {free_one: "9x60", size_one: "100x60"},
            {free_one: "11x60", size_one: "100x60"},
            timedelta(0),
            {"disk": "data", "instance": ""},
            {
                "{{ $value | humanizePercentage }}": "9%",
                "{{ $labels.disk }}": "data",
                "{{ $labels.instance }}": "",
            },
        ),
    )
