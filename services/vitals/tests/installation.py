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
from events import SECRET

from roadworthy.runtime.lifecycle import published

START_SECONDS = 90.0


class Installation:
    """`roadworthy run vitals.service:service` on a data directory."""

    def __init__(self, data: Path) -> None:
        """Not started yet."""
        self.url = ""
        self._data = data
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start, and wait until it is ready."""
        environment = {
            **os.environ,
            "ROADWORTHY_DATA_DIR": str(self._data),
            "ROADWORTHY_PORT": "0",
            "ROADWORTHY_OPERATIONS_PORT": "0",
            "VITALS_SECRET_AGGREGATOR": SECRET,
        }
        environment.pop("DATABASE_URL", None)
        command = [sys.executable, "-m", "roadworthy", "run", "vitals.service:service"]
        self._process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output = self._process.stdout
        assert output is not None
        seen: list[str] = []
        async with asyncio.timeout(START_SECONDS):
            while not (line := (await output.readline()).decode()).startswith("ready"):
                seen.append(line)
                assert line, "".join(seen)
        self.url = line.split()[1]
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

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection to its database."""
        dsn = published(self._data)
        assert dsn is not None
        connection = await asyncpg.connect(dsn, timeout=30)
        try:
            yield connection
        finally:
            with contextlib.suppress(OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
                await connection.close(timeout=5)

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
async def installed(data: Path) -> AsyncIterator[Installation]:
    """A started installation, stopped at the end."""
    installation = Installation(data)
    try:
        await installation.start()
        yield installation
    finally:
        await installation.stop()


async def _read_on(output: asyncio.StreamReader) -> None:
    while await output.read(65536):
        pass
