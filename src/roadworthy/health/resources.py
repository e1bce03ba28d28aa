"""The checks of what a process runs out of: room on the disk, and memory."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from roadworthy.duration import seconds
from roadworthy.health.memory import Memory, memory
from roadworthy.health.policy import Reading, Status
from roadworthy.health.spec import Check

_EVERY = seconds(15)

DISK_WARNS = (0.10, 5 * 1024**3)
"""A disk is getting full below this share of it and below so many bytes: a tenth of a large one is plenty."""

DISK_FAILS = (0.02, 1024**3)
"""A disk is full below this share of it and below so many bytes."""

MEMORY_WARNS = 0.85
"""The share of the limit from which on memory is scarce."""

MEMORY_FAILS = 0.95
"""The share of the limit from which on the kernel may kill at any moment."""


def disk_check(
    directory: Callable[[], Path | None], *, statistics: Callable[[Path], os.statvfs_result] = os.statvfs
) -> Check:
    """Return a check of the room that is left where `directory` is; of nothing where there is none."""

    async def run() -> Sequence[Reading]:
        path = directory()
        if path is None or not (found := await aside(lambda: statistics(path) if path.exists() else None)):
            return []
        free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        status: Status = "fail" if _short(free, total, DISK_FAILS) else "pass"
        if status == "pass" and _short(free, total, DISK_WARNS):
            status = "warn"
        output = None if status == "pass" else f"of {_bytes(total)}; make room where {path} is, or enlarge the disk"
        return [Reading("disk:free", status, free, "bytes", output)]

    return Check("disk", run, critical=False, every=_EVERY)


def memory_check(read: Callable[[], Memory | None] = memory) -> Check:
    """Return a check of the memory that this process uses, and its control group, beside what they may use."""

    async def run() -> Sequence[Reading]:
        found = read()
        if found is None:
            return []
        readings = [_used("resident", found.resident, found.limit)]
        if found.group is not None:
            readings.append(_used("group", found.group, found.limit))
        return [*readings, Reading("memory:limit", "pass", found.limit, "bytes")]

    return Check("memory", run, critical=False, every=_EVERY)


def _used(what: str, used: int, limit: int) -> Reading:
    share = used / limit
    status: Status = "fail" if share >= MEMORY_FAILS else "warn" if share >= MEMORY_WARNS else "pass"
    advice = f"{share:.0%} of the limit of {_bytes(limit)}, past which the kernel kills; raise it, or keep less"
    return Reading(f"memory:{what}", status, used, "bytes", None if status == "pass" else advice)


def _short(free: int, total: int, threshold: tuple[float, int]) -> bool:
    share, least = threshold
    return free < min(total * share, least)


def _bytes(number: int) -> str:
    return f"{number / 1024**3:.1f} GiB"


async def aside(function: Callable[[], os.statvfs_result | None]) -> os.statvfs_result | None:
    """Return what `function` does, from a thread that a disk which hangs may keep: the process ends without it."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[os.statvfs_result | None] = loop.create_future()

    def settle(value: os.statvfs_result | None, error: Exception | None) -> None:
        if not answer.done():
            answer.set_exception(error) if error is not None else answer.set_result(value)

    def ask() -> None:
        try:
            value, error = function(), None
        except Exception as raised:
            value, error = None, raised
        try:
            loop.call_soon_threadsafe(settle, value, error)
        except RuntimeError:
            return  # the loop is closed, and nobody waits

    threading.Thread(target=ask, name="disk check", daemon=True).start()
    return await answer
