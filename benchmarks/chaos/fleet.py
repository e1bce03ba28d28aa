"""The processes under test, each started again whenever it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_TARGET = "benchmarks.chaos.service:service"
_REST = 0.3
_EXPECTED = (0, -signal.SIGKILL, -signal.SIGTERM)


@dataclass(slots=True)
class Member:
    """One process of the fleet, and those that take its place."""

    name: str
    command: tuple[str, ...]
    log: Path
    process: asyncio.subprocess.Process | None = None
    paused: bool = False
    draining: bool = False
    stopped: bool = False
    codes: Counter[int] = field(default_factory=Counter)

    @property
    def running(self) -> bool:
        """Whether there is a process to be sent a signal."""
        return self.process is not None and self.process.returncode is None

    def send(self, number: int) -> None:
        """Send the process a signal, if there is one."""
        if self.process is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def children(self) -> list[psutil.Process]:
        """Return the child processes that run its jobs."""
        if self.process is None or not self.running:
            return []
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.process.pid).children()
        return []

    async def keep(self, environ: Mapping[str, str]) -> None:
        """Run it until it is to stop."""
        while not self.stopped:
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", *self.command, env=environ, stdout=log, stderr=log, start_new_session=True
                )
            code = await self.process.wait()
            self.codes[code] += 1
            self.paused = self.draining = False
            await asyncio.sleep(_REST)

    async def stop(self, seconds: float) -> int | None:
        """Have it end for good; return its exit code, None where it had to be killed."""
        self.stopped = True
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if self.process is None:
            return 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.process.wait()
        self.send(signal.SIGKILL)
        await self.process.wait()
        return None


@dataclass(slots=True)
class Fleet:
    """All members; the enqueuers, workers and schedulers among them."""

    members: list[Member]

    def of(self, kind: str) -> list[Member]:
        """Return the members of a kind that can be disturbed now."""
        return [
            member
            for member in self.members
            if member.name.startswith(kind) and member.running and not member.paused and not member.draining
        ]

    def unexpected(self) -> dict[str, int]:
        """Count the ends that nobody asked for, by member and exit code."""
        return {
            f"{member.name} with {code}": count
            for member in self.members
            for code, count in member.codes.items()
            if code not in _EXPECTED
        }


async def orphans(dsn: str, seconds: float = 5.0) -> int:
    """Return how many job processes are left of a fleet that has ended, some seconds later."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left := sum(_is_child(process, dsn) for process in psutil.process_iter())) and loop.time() < until:
        await asyncio.sleep(0.1)
    return left


def _is_child(process: psutil.Process, dsn: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return "roadworthy.jobs.child" in process.cmdline() and process.environ().get("DATABASE_URL") == dsn
    return False


@asynccontextmanager
async def fleet(dsn: str, directory: Path, *, workers: int, enqueuers: int, per_second: float) -> AsyncIterator[Fleet]:
    """Run a fleet within the block; at its end, no process is left."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")},
        "DATABASE_URL": dsn,
        "ROADWORTHY_OPERATIONS_PORT": "0",
        "ROADWORTHY_DRAIN_SECONDS": "8",
        "ROADWORTHY_LOG_FORMAT": "json",
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
    }
    commands = {
        **{f"worker-{n}": ("roadworthy", "work", _TARGET) for n in range(workers)},
        **{f"scheduler-{n}": ("roadworthy", "schedule", _TARGET) for n in range(2)},
        **{f"enqueuer-{n}": ("benchmarks.chaos.enqueuer", str(per_second / enqueuers)) for n in range(enqueuers)},
    }
    members = [Member(name, command, directory / f"{name}.log") for name, command in commands.items()]
    async with asyncio.TaskGroup() as group:
        for member in members:
            group.create_task(member.keep(environ))
        try:
            yield Fleet(members)
        finally:
            for member in members:
                member.stopped = True
                member.send(signal.SIGKILL)
