"""The whole service as an operator starts it, for tests that kill its parts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from roadworthy import DatabaseUnavailable
from roadworthy.runtime import lifecycle
from roadworthy.runtime.settings import Settings

START_SECONDS = 90.0


class Tree:
    """`roadworthy run sitesearch.service:service` on a data directory."""

    def __init__(self, data: Path) -> None:
        """Not started yet."""
        self.settings = Settings.load({"ROADWORTHY_DATA_DIR": str(data)})
        self._data = data
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start, and wait until its crawling worker is at work."""
        environment = {
            **os.environ,
            "ROADWORTHY_DATA_DIR": str(self._data),
            "ROADWORTHY_PORT": "0",
            "ROADWORTHY_OPERATIONS_PORT": "0",
            "SITESEARCH_ALLOW_HOSTS": "127.0.0.1",
        }
        command = [sys.executable, "-m", "roadworthy", "run", "sitesearch.service:service"]
        self._process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output = self._process.stdout
        assert output is not None
        seen: list[str] = []
        async with asyncio.timeout(START_SECONDS):
            while "worker-crawling" not in (line := (await output.readline()).decode()):
                seen.append(line)
                assert line, "".join(seen)
        self._reading = asyncio.create_task(_read_on(output))

    async def stop(self) -> None:
        """Ask it to end and wait for that; kill what is left."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), 60)
        except TimeoutError:
            await self.kill_all()
        await self._ended()

    async def kill_all(self) -> None:
        """Kill every process of it at once, PostgreSQL's too."""
        assert self._process is not None
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        await self._process.wait()
        await self._ended()

    def kill(self, part: str) -> None:
        """Kill the processes whose command line names `part`; there must be one."""
        killed = 0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                if part in " ".join(process.cmdline()):
                    process.kill()
                    killed += 1
        assert killed, part

    def restart_postgres(self) -> None:
        """Make PostgreSQL shut down as for a restart by its operator."""
        pid = int((self._data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        assert pid in {process.pid for process in self._processes()}
        os.kill(pid, signal.SIGINT)

    def peak(self) -> int:
        """The largest peak of resident memory, in bytes, of a worker."""
        peaks = []
        for process in self._processes():
            with contextlib.suppress(psutil.Error, OSError):
                if "worker-crawling" in " ".join(process.cmdline()):
                    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                    peaks += [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
        return max(peaks, default=0)

    async def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        """Ask its database, again and again while that is away."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    connection = await asyncpg.connect(lifecycle.existing(self.settings), timeout=5)
                    try:
                        return [dict(row) for row in await connection.fetch(sql, *arguments)]
                    finally:
                        await connection.close()
                except (OSError, TimeoutError, DatabaseUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await asyncio.sleep(0.2)

    def _processes(self) -> list[psutil.Process]:
        assert self._process is not None
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    async def _ended(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)


@asynccontextmanager
async def growing(data: Path) -> AsyncIterator[Tree]:
    """A started tree, stopped at the end."""
    tree = Tree(data)
    try:
        await tree.start()
        yield tree
    finally:
        await tree.stop()


async def _read_on(output: asyncio.StreamReader) -> None:
    while await output.read(65536):
        pass
