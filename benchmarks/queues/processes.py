"""The processes of one queue, and what they use of the processors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import environments
from .registry import Entry

_ROOT = Path(__file__).parent.parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")
_LONGEST_ANSWER = 2**26
_LONGEST_ORDER = 400.0
_LONGEST_STOP = 3.0


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts the processes of one queue. `marks` is the file in which its jobs note that they ran."""

    entry: Entry
    url: str
    marks: Path
    directory: Path

    async def install(self) -> None:
        """Have the queue prepare its database."""
        process = await self._start("install", "default", stdin=subprocess.DEVNULL)
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{self.entry.module} could not be installed: {output!r}\n{self._errors('install')}")

    @asynccontextmanager
    async def producing(self, queue: str = "default") -> AsyncIterator[Producer]:
        """Run a process that enqueues on order."""
        process = await self._start("produce", queue, stdin=subprocess.PIPE)
        try:
            producer = Producer(self, process)
            producer.offers = (await producer.answer())["offers"]
            yield producer
        finally:
            await _stop(process)

    @asynccontextmanager
    async def working(self, queue: str = "default") -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a worker process."""
        process = await self._start("work", queue, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            await _stop(process)

    async def _start(self, role: str, queue: str, *, stdin: int) -> asyncio.subprocess.Process:
        python = environments.python_of(self.entry.environment)
        command = [python, "-m", "benchmarks.queues", role, self.entry.module, json.dumps(self.entry.settings)]
        with (self.directory / f"{role}.log").open("wb") as errors:
            return await asyncio.create_subprocess_exec(
                *command,
                self.url,
                queue,
                stdin=stdin,
                stdout=subprocess.PIPE if role != "work" else errors,
                stderr=errors,
                cwd=_ROOT,
                env=os.environ | {"BENCHMARK_MARKS": str(self.marks), "PYTHONWARNINGS": "ignore"},
                start_new_session=True,
                limit=_LONGEST_ANSWER,
            )

    def _errors(self, role: str) -> str:
        return (self.directory / f"{role}.log").read_text(errors="replace")[-2000:]

    def fail(self, what: str) -> RuntimeError:
        """Return an error with what the processes said."""
        said = "\n".join(
            f"--- {role}\n{self._errors(role)}"
            for role in ("produce", "work")
            if (self.directory / f"{role}.log").exists()
        )
        return RuntimeError(f"{self.entry.module} {self.entry.settings}: {what}\n{said}")


class Producer:
    """A process that enqueues on order; `offers` names the ways in which its queue can."""

    def __init__(self, launcher: Launcher, process: asyncio.subprocess.Process) -> None:
        self._launcher = launcher
        self._process = process
        self.offers: list[str] = []

    async def order(self, do: str, **what: Any) -> Any:
        """Have it do something; return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
        await self._process.stdin.drain()
        return await self.answer()

    async def answer(self) -> Any:
        """Return its next answer."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_LONGEST_ORDER):
            while line := await self._process.stdout.readline():
                if line.startswith(b"{"):
                    return json.loads(line)
        raise self._launcher.fail("the producer ended")


async def _stop(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_STOP):
                await process.wait()
                break
    # Children that outlived their parent are in its group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and all that descend from it, ended ones included."""
    parents: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            number = int(path.parent.name)
            parents.setdefault(int(fields[1]), []).append(number)
            used[number] = sum(map(int, fields[11:15]))
    total, todo = 0, [pid]
    while todo:
        one = todo.pop()
        total += used.get(one, 0)
        todo += parents.get(one, [])
    return total / _TICKS
