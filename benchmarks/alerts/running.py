"""A reference service started with `roadworthy run`, as its users start it, with a little load and a Redis."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from roadworthy.database import driver

from ..queues import servers

_READY_WITHIN = 120.0
_ENDED_WITHIN = 10.0
_PATIENCE = 15.0

Send = Callable[[int], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that people make all the time: `send` makes the next one, told its number, `every` so many seconds."""

    name: str
    every: float
    send: Send


@dataclass(slots=True)
class Running:
    """A service that runs. `operations` is the host and port that is scraped, `redis` the process that it uses.

    `own` is what its causes need to know of it, such as keys.
    """

    name: str
    client: httpx.AsyncClient
    operations: str
    environment: Mapping[str, str]
    dsn: str
    pid: int
    redis: int
    own: dict[str, Any] = field(default_factory=dict)
    load: list[Load] = field(default_factory=list)

    @property
    def target(self) -> str:
        """What is run."""
        return f"{self.name}.service:service"

    def process(self, name: str) -> psutil.Process:
        """Return one of the processes that the service runs in, such as "web-1"."""
        for process in psutil.Process(self.pid).children():
            if name in process.cmdline():
                return process
        raise LookupError(f"{self.name} has no process {name}")

    def postgres(self) -> list[psutil.Process]:
        """Return the processes of its PostgreSQL."""
        server = next(one for one in psutil.Process(self.pid).children() if Path(one.name()).name == "postgres")
        return [server, *server.children()]

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Run a statement on its database, past the service; return the rows."""
        connection = await driver.connect(self.dsn)
        try:
            return list(await connection.fetch(statement, *arguments, timeout=30))
        finally:
            connection.terminate()

    async def command(self, *arguments: str, module: str = "roadworthy") -> str:
        """Run a command beside the service; return what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        said, errors = await asyncio.wait_for(process.communicate(), 60)
        if process.returncode:
            raise RuntimeError(f"{module} {' '.join(arguments)} exited with {process.returncode}: {errors.decode()}")
        return said.decode().strip()

    @asynccontextmanager
    async def asked(self, *loads: Load) -> AsyncIterator[None]:
        """Make requests within an `async with`, whether or not the last ones were answered."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_ask(load)) for load in loads]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()


async def _ask(load: Load) -> None:
    number, due = 0, time.monotonic()
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(_sent(load, number))
            number += 1
            due += load.every
            await asyncio.sleep(max(due - time.monotonic(), 0))


async def _sent(load: Load, number: int) -> None:
    # What becomes of it, the service's own metrics tell.
    with contextlib.suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await load.send(number)


@asynccontextmanager
async def running(name: str, directory: Path, more: Mapping[str, str]) -> AsyncIterator[Running]:
    """Run a service with a data directory, a PostgreSQL, a Redis and ports of its own."""
    program = servers.redis_program()
    if program is None:
        raise RuntimeError("redis-server is not installed; apt-get install redis-server")
    data = directory / "data"
    async with servers.redis(program, directory) as redis:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("ROADWORTHY_", "DATABASE_"))},
            **more,
            "ROADWORTHY_DATA_DIR": str(data),
            "ROADWORTHY_PORT": "0",
            "ROADWORTHY_OPERATIONS_PORT": "0",
            "ROADWORTHY_SERVICE": f"{name}.service:service",
            # A process that is stopped for two minutes is to be missed by who watches, not started again.
            "ROADWORTHY_HUNG_SECONDS": "0",
            "ROADWORTHY_DRAIN_SECONDS": "3",
            "REDIS_URL": redis.url,
        }
        async with _started(environment, directory / f"{name}.log") as (pid, operations, url):
            dsn = f"postgresql://roadworthy@/main?host={data / 'socket'}"
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
            async with httpx.AsyncClient(base_url=url, limits=limits, timeout=_PATIENCE) as client:
                yield Running(name, client, operations, environment, dsn, pid, redis.pid)


@asynccontextmanager
async def _started(environment: Mapping[str, str], log: Path) -> AsyncIterator[tuple[int, str, str]]:
    """Yield the process, the host and port of its operations, and its address."""
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "roadworthy", "run"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        )
    assert process.stdout is not None
    reading: asyncio.Task[bytes] | None = None
    try:
        operations = ""
        async with asyncio.timeout(_READY_WITHIN):
            while not (line := (await process.stdout.readline()).decode()).startswith("ready"):
                if not line:
                    raise RuntimeError(f"the service ended before it was ready; see {log}")
                if line.startswith("operations"):
                    operations = httpx.URL(line.split()[1]).netloc.decode()
        reading = asyncio.create_task(process.stdout.read())
        yield process.pid, operations, line.split()[1]
    finally:
        await _ended(process)
        if reading is not None:
            await reading


async def _ended(process: asyncio.subprocess.Process) -> None:
    children = _with_descendants(process.pid)
    for one in children:
        with contextlib.suppress(psutil.Error):
            one.send_signal(signal.SIGCONT)
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        process.terminate()
        await asyncio.wait_for(process.wait(), _ENDED_WITHIN)
    for one in children:
        with contextlib.suppress(psutil.Error):
            one.kill()
    await process.wait()


def _with_descendants(pid: int) -> Sequence[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        found = psutil.Process(pid)
        return [found, *found.children(recursive=True)]
    return []
