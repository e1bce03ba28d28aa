"""The memory that a process and its control group use, and may use: from Linux' /proc and cgroup files.

Source: Linux' Documentation/admin-guide/cgroup-v2.rst (memory) and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_RESIDENT = 1


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory: resident ones of the process, its limit, and where a control group sets that, what it uses.

    `group` is without the file cache, which the kernel takes back before it kills anything.
    """

    resident: int
    limit: int
    group: int | None = None


@dataclass(frozen=True, slots=True)
class _Version:
    """Where a version of control groups keeps what."""

    root: str
    limit: str
    used: str
    cached: tuple[str, ...]


_SECOND = _Version("sys/fs/cgroup", "memory.max", "memory.current", ("inactive_file", "active_file"))
_FIRST = _Version(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)


def memory(root: Path = Path("/")) -> Memory | None:
    """Return what this process uses of the memory that it may use; None where the kernel does not say."""
    try:
        pages = int((root / "proc/self/statm").read_text(encoding="utf-8").split()[_RESIDENT])
        resident = pages * os.sysconf("SC_PAGE_SIZE")
        total = _fields((root / "proc/meminfo").read_text(encoding="utf-8"))["MemTotal:"] * 1024
    except (OSError, LookupError, ValueError):
        return None
    limit, group = total, None
    for version, path in _groups(root):
        found = _number(path / version.limit)
        if found is not None and found < limit:
            limit, group = found, _used(version, path)
    return Memory(resident, limit, group)


def _groups(root: Path) -> list[tuple[_Version, Path]]:
    """Return the control groups that bound this process's memory, from its own to the outermost."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        version = _SECOND if not controllers else _FIRST if "memory" in controllers.split(",") else None
        if version is not None:
            own = Path(name.lstrip("/"))
            found += [(version, root / version.root / part) for part in (own, *own.parents) if ".." not in part.parts]
    return found


def _used(version: _Version, path: Path) -> int | None:
    used = _number(path / version.used)
    try:
        counted = _fields((path / "memory.stat").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        counted = {}
    return None if used is None else max(used - sum(counted.get(name, 0) for name in version.cached), 0)


def _number(path: Path) -> int | None:
    """Return the number in a file; None without one, as where it says "max"."""
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _fields(text: str) -> dict[str, int]:
    """Return the numbers of a file of lines such as "MemTotal:  24105 kB", as they stand there."""
    return {words[0]: int(words[1]) for line in text.splitlines() if len(words := line.split()) > 1}
