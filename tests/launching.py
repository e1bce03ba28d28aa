"""Start `roadworthy` as its users do, and look at what runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

HERE = Path(__file__).parent
TARGET = f"{HERE / 'tenant.py'}:service"


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 60.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what}") from None


class Launched:
    """A running `roadworthy`: what it printed, its addresses and its processes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.client = httpx.AsyncClient(timeout=60)

    async def said(self, pattern: str, seconds: float = 60.0) -> re.Match[str]:
        """Wait for a line that matches."""
        for line in self.lines:
            if found := re.search(pattern, line):
                return found
        assert self.process.stdout is not None
        async with asyncio.timeout(seconds):
            async for data in self.process.stdout:
                self.lines.append(data.decode().rstrip("\n"))
                if found := re.search(pattern, self.lines[-1]):
                    return found
        raise AssertionError(f"ended without a line like {pattern!r}: {self.lines}")

    async def site(self) -> str:
        return (await self.said(r"^ready  (http://\S+)"))[1]

    async def operations(self) -> str:
        return (await self.said(r"^operations  (http://[^/]+)"))[1]

    async def get(self, path: str) -> str:
        answer = await self.client.get(await self.site() + path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def metric(self, series: str) -> float:
        """Return the sum of the series whose text begins so in a scrape."""
        text = (await self.client.get(await self.operations() + "/metrics")).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(series))

    async def health(self) -> dict[str, Any]:
        answer = await self.client.get(await self.operations() + "/health")
        return dict(answer.json())

    async def status(self, name: str) -> dict[str, Any]:
        """Return what the health report says of a process."""
        (found,) = (await self.health())["checks"][f"process:{name}"]
        return dict(found["observedValue"], output=found.get("output"))

    async def is_ready_again(self, name: str, restarts: int) -> bool:
        with contextlib.suppress(httpx.TransportError):
            status = await self.status(name)
            return status["state"] == "ready" and status["restarts"] == restarts
        return False

    def tree(self) -> list[psutil.Process]:
        """Return this process and all below it."""
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    async def ended(self, seconds: float = 60.0) -> int:
        async with asyncio.timeout(seconds):
            assert self.process.stdout is not None
            self.lines += (await self.process.stdout.read()).decode().splitlines()
            return await self.process.wait()


@asynccontextmanager
async def launched(
    directory: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Launched]:
    """Run `roadworthy ARGUMENTS` in `directory` on free ports; at the end nothing of it is left."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "ROADWORTHY_SERVICE")}
    ports = {"ROADWORTHY_PORT": "0", "ROADWORTHY_OPERATIONS_PORT": "0", "ROADWORTHY_DATA_DIR": str(directory / "data")}
    with (directory / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "roadworthy",
            *arguments,
            cwd=directory,
            env={**kept, **ports, **(environ or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    launch = Launched(process)
    try:
        yield launch
    finally:
        await launch.client.aclose()
        if process.returncode is None:
            for one in reversed(launch.tree()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGKILL)
            await process.wait()


async def gone(processes: list[psutil.Process], seconds: float = 60.0) -> None:
    """Wait until none of the processes runs any more."""

    async def all_gone() -> bool:
        return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)

    await until(all_gone, f"the end of {processes}", seconds)
