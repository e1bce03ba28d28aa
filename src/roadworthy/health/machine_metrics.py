"""What is exported of the machine that a service runs on; in a container, of what the container may use."""

from __future__ import annotations

from roadworthy.telemetry.spec import Label, MetricSpec

# Open, so that no series is born in a process that does not look: a disk of 0 bytes is a full one.
_DISK = Label("disk", limit=10)

MEMORY_LIMIT = MetricSpec(
    "machine_memory_limit_bytes", "gauge", "Memory of the control group, or of the machine.", across="max"
)
MEMORY_USED = MetricSpec(
    "machine_memory_used_bytes",
    "gauge",
    "Memory in use there, by whatever runs, without the file cache.",
    across="max",
)
PROCESSORS = MetricSpec("machine_processors", "gauge", "Processors that may be used; parts of one count.", across="max")
DISK_FREE = MetricSpec(
    "machine_disk_free_bytes", "gauge", "Room left on the disk of the data directory.", (_DISK,), across="max"
)
DISK_SIZE = MetricSpec(
    "machine_disk_size_bytes", "gauge", "Size of the disk of the data directory.", (_DISK,), across="max"
)

CATALOGUE: tuple[MetricSpec, ...] = (MEMORY_LIMIT, MEMORY_USED, PROCESSORS, DISK_FREE, DISK_SIZE)
