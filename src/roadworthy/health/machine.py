"""What a machine has, and how much of it is used: memory, the disk of the data directory, processors.

Inside a container the machine is what its control group may use. Source: Linux' Documentation/admin-guide/cgroup-v2.rst
and scheduler/sched-bwc.rst; proc_meminfo(5).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from roadworthy.health import machine_metrics as catalogue
from roadworthy.health.memory import memory
from roadworthy.health.resources import aside
from roadworthy.telemetry.registry import MetricRegistry

_PATIENCE = 5.0
_DISK = "data"


@dataclass(frozen=True, slots=True)
class Machine:
    """Bytes of memory that may be used, and that are, without the file cache; and processors, of which parts count."""

    memory_limit: int
    memory_used: int
    processors: float


class MachineObserver:
    """One process's view of the machine that it is on."""

    def __init__(
        self,
        metrics: MetricRegistry,
        data_directory: Path | None,
        *,
        root: Path = Path("/"),
        statistics: Callable[[Path], os.statvfs_result] = os.statvfs,
        patience: float = _PATIENCE,
    ) -> None:
        """`root` is where the kernel's files are, `statistics` tells of a directory's disk, in `patience` seconds."""
        self._metrics = metrics
        self._directory = data_directory
        self._root = root
        self._statistics = statistics
        self._patience = patience
        self._asking = False

    async def look(self) -> None:
        """Look once; what cannot be seen is not exported."""
        if (found := machine(self._root)) is not None:
            for metric, value in (
                (catalogue.MEMORY_LIMIT, found.memory_limit),
                (catalogue.MEMORY_USED, found.memory_used),
                (catalogue.PROCESSORS, found.processors),
            ):
                self._metrics.bound(metric).labels().set(value)
        await self._disk()

    async def _disk(self) -> None:
        path = self._directory
        # A disk that hangs keeps the thread that asked it: one such is enough.
        if path is None or self._asking:
            return
        self._asking = True
        try:
            async with asyncio.timeout(self._patience):
                found = await aside(lambda: self._answered(path))
        except (TimeoutError, OSError):
            found = None
        for metric in (catalogue.DISK_FREE, catalogue.DISK_SIZE):
            if found is None:
                self._metrics.bound(metric).forget()
                continue
            blocks = found.f_bavail if metric is catalogue.DISK_FREE else found.f_blocks
            self._metrics.bound(metric).labels(_DISK).set(blocks * found.f_frsize)

    def _answered(self, path: Path) -> os.statvfs_result | None:
        try:
            return self._statistics(path) if path.exists() else None
        finally:
            self._asking = False


def machine(root: Path = Path("/")) -> Machine | None:
    """Return what the machine, or this process's control group, has; None where the kernel does not say."""
    found = memory(root)
    if found is None:
        return None
    used = found.group
    if used is None:
        try:
            lines = (root / "proc/meminfo").read_text(encoding="utf-8").splitlines()
            available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        except (OSError, StopIteration, ValueError):
            return None
        used = found.limit - available
    return Machine(found.limit, used, processors(root))


def processors(root: Path = Path("/")) -> float:
    """Return how many processors may be used: those that this process may run on, or the share of its control group."""
    own = float(len(os.sched_getaffinity(0)))
    quotas = (quota for path in _groups(root) if (quota := _quota(path)) is not None)
    return min((own, *quotas))


def _groups(root: Path) -> list[Path]:
    """Return the directories in which the processor's share of this process is set, from its own to the outermost."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        top = "sys/fs/cgroup" if not controllers else "sys/fs/cgroup/cpu" if "cpu" in controllers.split(",") else None
        if top is not None:
            own = Path(name.lstrip("/"))
            found += [root / top / part for part in (own, *own.parents) if ".." not in part.parts]
    return found


def _quota(path: Path) -> float | None:
    """Return the share that a group may use, in processors; None without a limit."""
    try:
        quota, period = (path / "cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        try:
            quota = (path / "cpu.cfs_quota_us").read_text(encoding="utf-8")
            period = (path / "cpu.cfs_period_us").read_text(encoding="utf-8")
        except OSError:
            return None
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None
