"""Panels of processes and of the machine below them."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.emit.dashboard import RATE_INTERVAL, Panel, Query
from roadworthy.emit.dashboards.expressions import highest
from roadworthy.emit.indicator import selected
from roadworthy.health.machine_metrics import DISK_FREE, DISK_SIZE, MEMORY_LIMIT, MEMORY_USED, PROCESSORS
from roadworthy.health.metrics import LAG, STATUS

_CHOSEN = 'process=~"$process"'


def process_panels(labels: dict[str, str]) -> Iterator[Panel]:
    """Yield the panels of what processes use; they are narrowed by the variable `process`."""
    cpu = f"rate({selected('process_cpu_seconds_total', labels, _CHOSEN)}[5m])"
    yield Panel(
        "Processor",
        (Query(highest(f"max by (process) ({cpu})"), "{{process}}"),),
        unit="percentunit",
        description="Of one processor; Python uses no more than one at a time.",
        alert="HighCPUUsage",
    )
    memory = selected("process_resident_memory_bytes", labels, _CHOSEN)
    yield Panel("Memory", (Query(highest(f"max by (process) ({memory})"), "{{process}}"),), unit="bytes")
    used, most = (selected(name, labels, _CHOSEN) for name in ("process_open_fds", "process_max_fds"))
    yield Panel(
        "File descriptors",
        (Query(highest(f"max by (process) ({used} / {most})"), "{{process}}"),),
        unit="percentunit",
        description="Of those that the process may have open.",
        alert="FileDescriptorsRunningOut",
    )
    lag = selected(LAG.name, labels, _CHOSEN)
    yield Panel(
        "Event loop lag",
        (Query(highest(f"max by (process) ({lag})"), "{{process}}"),),
        unit="s",
        description="How late the event loop woke what was due, at worst in half a minute.",
        alert="EventLoopLagging",
    )
    started = selected("process_start_time_seconds", labels, _CHOSEN)
    yield Panel(
        "Since the last start",
        (Query(f"bottomk(5, min by (process) (time() - {started}))", "{{process}}"),),
        unit="dtdurations",
        description="A line that keeps falling to nothing is a process that keeps ending.",
    )
    seen = f"max by (check) ({selected(STATUS.name, labels)})"
    yield Panel(
        "Health checks that are not well",
        (Query(f"{seen} > 0", "{{check}}"),),
        unit="none",
        description="1 warns, 2 fails.",
        may_be_empty="All checks pass.",
    )


def machine_panels(labels: dict[str, str]) -> Iterator[Panel]:
    """Yield the panels of the machine, or of what a container may use of it."""
    used, limit = (f"max({selected(metric.name, labels)})" for metric in (MEMORY_USED, MEMORY_LIMIT))
    yield Panel(
        "Memory of the machine",
        (Query(f"{used} / {limit}", "in use"),),
        unit="percentunit",
        description="By whatever runs there, without the file cache; in a container, of what it may use.",
        alert="HighMemoryUsage",
    )
    spent = f"sum(rate({selected('process_cpu_seconds_total', labels)}[{RATE_INTERVAL}]))"
    yield Panel(
        "Processors of the machine",
        (Query(f"{spent} / max({selected(PROCESSORS.name, labels)})", "used by the service"),),
        unit="percentunit",
    )
    free, size = (f"min by (disk) ({selected(metric.name, labels)})" for metric in (DISK_FREE, DISK_SIZE))
    yield Panel(
        "Room on the disk",
        (Query(f"{free} / {size}", "{{disk}}"),),
        unit="percentunit",
        description="Of the disk on which the data directory is.",
        alert="DiskSpaceLow",
        may_be_empty="There is no data directory where the database runs elsewhere.",
    )
