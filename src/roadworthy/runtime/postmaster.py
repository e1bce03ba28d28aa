"""What is left of an earlier PostgreSQL on a data directory: its pid file, and processes that outlived their owner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess  # nosec B404  # fixed programs, no shell
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

_POLL_SECONDS = 0.05
_PID_LINE, _STATUS_LINE = 0, 7


def is_ready(data: Path, pid: int) -> bool:
    """Tell whether the postmaster `pid` says in its pid file that it takes connections."""
    lines = _pid_file(data)
    return len(lines) > _STATUS_LINE and lines[_PID_LINE] == str(pid) and lines[_STATUS_LINE].strip() == "ready"


async def clear(data: Path, *, patience: timedelta) -> None:
    """End whatever still runs on `data`, so that a new postmaster finds it free.

    The caller owns the data directory's lock, so all of it is an orphan, most likely already shutting down: it gets
    `patience` to finish by itself, then SIGQUIT, then, after as long again, SIGKILL.
    """
    for step in (None, signal.SIGQUIT, signal.SIGKILL):
        if await _gone(data, step, patience):
            break
    _disown(data)


def leftovers(data: Path) -> list[int]:
    """Return the PostgreSQL processes that work in `data`: all of them on Linux, elsewhere the postmaster alone."""
    if sys.platform != "linux":
        lines = _pid_file(data)
        pid = int(lines[_PID_LINE]) if lines and lines[_PID_LINE].isdigit() else 0
        return [pid] if pid and _is_postgres_on(data, pid) else []
    place = str(data.resolve())
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _works_in(entry, place)]


def kill(processes: Iterable[int], number: signal.Signals) -> None:
    """Send the signal to each process that still exists."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


async def _gone(data: Path, number: signal.Signals | None, patience: timedelta) -> bool:
    if number is not None:
        kill(leftovers(data), number)
    rounds = max(int(patience.total_seconds() / _POLL_SECONDS), 1)
    for _ in range(rounds):
        if not leftovers(data):
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False


def _disown(data: Path) -> None:
    # PostgreSQL refuses to start while the pid in its file is alive, be that by now an unrelated process, unless it
    # is its own parent's. The rest of the file stays: by it PostgreSQL finds shared memory that is still in use.
    lines = _pid_file(data)
    if lines and lines[_PID_LINE].isdigit() and _is_alive(int(lines[_PID_LINE])):
        lines[_PID_LINE] = str(os.getpid())
        (data / "postmaster.pid").write_text("\n".join(lines) + "\n")


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _works_in(entry: Path, place: str) -> bool:
    try:
        return str((entry / "cwd").readlink()) == place and (entry / "comm").read_text().strip() == "postgres"
    except OSError:
        return False


def _is_postgres_on(data: Path, pid: int) -> bool:
    command = ["ps", "-o", "command=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout  # nosec B603  # a number for an argument
    return "postgres" in shown and str(data) in shown
