"""What processes use, with all those that they started: from Linux' /proc, in which the kernel keeps count."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from roadworthy.scaling.replicas import Sample
from roadworthy.scaling.spec import milli

PROC = Path("/proc")
WINDOW = 15.0
"""Over how many seconds the use of CPU is measured: the resolution of Kubernetes' metrics-server."""

# Fields of /proc/PID/stat that follow the command's name: see proc_pid_stat(5).
_PARENT, _CPU_TIMES, _RESIDENT = 1, slice(11, 15), 21


@dataclass(frozen=True, slots=True)
class Use:
    """How many seconds of CPU were used so far, and how many bytes of memory are resident."""

    cpu: float
    memory: int


def use_of(pids: Iterable[int], proc: Path = PROC) -> dict[int, Use] | None:
    """Return what each of the processes and its descendants use, without those that are gone; None without a `/proc`.

    What a descendant used is counted after its end, too, once its parent has noticed.
    """
    found: dict[int, Use] = {}
    children: dict[int, list[int]] = defaultdict(list)
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    try:
        names = [name for name in os.listdir(proc) if name.isdigit()]  # noqa: PTH208 - thousands of them, often
    except OSError:
        return None
    for name in names:
        try:
            text = (proc / name / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        children[int(fields[_PARENT])].append(int(name))
        found[int(name)] = Use(sum(map(int, fields[_CPU_TIMES])) / ticks, int(fields[_RESIDENT]) * page)
    if not found:
        return None
    return {pid: _whole(pid, found, children) for pid in pids if pid in found}


def _whole(pid: int, found: dict[int, Use], children: dict[int, list[int]]) -> Use:
    cpu, memory, waiting = 0.0, 0, [pid]
    while waiting:
        process = waiting.pop()
        cpu += found[process].cpu
        memory += found[process].memory
        waiting += children.pop(process, ())
    return Use(cpu, memory)


class CpuMeter:
    """Makes a rate of CPU seconds, for each process of several."""

    def __init__(self, window: float = WINDOW) -> None:
        """A rate is over `window` seconds at least."""
        self._window = window
        self._seen: dict[int, deque[tuple[float, float]]] = {}

    def update(self, now: float, used: dict[int, float]) -> dict[int, Sample]:
        """Note the seconds that each process has used by `now`; return the rates, without those too new to have one."""
        self._seen = {pid: self._seen.get(pid, deque()) for pid in used}
        rates = {}
        for pid, seconds in used.items():
            seen = self._seen[pid]
            seen.append((now, seconds))
            while len(seen) > 1 and seen[1][0] <= now - self._window:
                seen.popleft()
            began, before = seen[0]
            if now - began >= self._window:
                cores = max(seconds - before, 0.0) / (now - began)
                rates[pid] = Sample(milli(cores), at=now, window=now - began)
        return rates
