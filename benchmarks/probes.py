"""Probes of a service whose dependencies hang, beside those of one whose dependencies are well.

    python -m benchmarks.probes [--json] [--quick]

A service that depends on PostgreSQL, Redis and another service runs as a process of its own; all three are then made to
hang. No peers: what is measured is a promise, and the exit code is 1 where it is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from roadworthy import Service, minutes, seconds, url_check
from roadworthy.database import migration
from roadworthy.runtime import postmaster
from roadworthy.runtime.embedded import EmbeddedPostgres
from roadworthy.runtime.lifecycle import migrations

from .queues import servers
from .report import OURS, Report

PROMISED = 0.050
"""What a probe may be delayed, in seconds, however much hangs."""

_PATHS = ("/livez", "/readyz", "/health")
_SETTLED_WITHIN = 60.0
_AT_ONCE = 100
_CHECK = "database"

service = Service("probed", version="1.0.0")
service.database()
service.cache("prices", ttl=minutes(5), store_timeout=seconds(0.25))
service.check("bank", every=seconds(2), readiness=True)(url_check(os.environ.get("BANK_URL", "http://127.0.0.1/")))


async def site(scope: dict[str, object], receive: object, send: object) -> None:
    """Answer nothing: only probes are asked for."""
    raise RuntimeError("no page here")


app = service.install(site)


class Other:
    """The other service, which answers with 204, or accepts connections and says nothing."""

    def __init__(self) -> None:
        self.answering = asyncio.Event()
        self.answering.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            await self.answering.wait()
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()
        writer.close()


@dataclass(frozen=True, slots=True)
class Scene:
    """What is measured: the service's ports, and how to have what it depends on hang."""

    port: int
    operations: int
    data: Path
    redis: int
    other: Other

    async def ask(self, path: str, port: int | None = None) -> tuple[int, float, bytes]:
        """Return the status of an answer, the seconds from connecting to its last byte, and its body."""
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        finally:
            writer.close()
        return int(head.split(b" ", 2)[1]), time.perf_counter() - began, body

    async def looks(self, check: str) -> float:
        """Return how often the service has looked at a check."""
        _, _, text = await self.ask("/metrics", self.operations)
        name = f'health_check_duration_seconds_count{{check="{check}"}}'
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.decode().splitlines() if line.startswith(name))

    async def has(self, path: str, status: int) -> None:
        """Wait until a probe is answered so."""
        async with asyncio.timeout(_SETTLED_WITHIN):
            while (await self.ask(path))[0] != status:
                await asyncio.sleep(0.1)

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Have all that the service depends on accept connections and answer nothing."""
        processes = [*postmaster.leftovers(self.data), self.redis]
        postmaster.kill(processes, signal.SIGSTOP)
        self.other.answering.clear()
        try:
            yield
        finally:
            postmaster.kill([*processes, *postmaster.leftovers(self.data)], signal.SIGCONT)
            self.other.answering.set()


@asynccontextmanager
async def _scene(directory: Path) -> AsyncIterator[Scene]:
    if (program := servers.redis_program()) is None:
        raise SystemExit("redis-server is not on the PATH; install Redis or Valkey")
    async with AsyncExitStack() as stack:
        other = Other()
        listening = await stack.enter_async_context(await asyncio.start_server(other, "127.0.0.1", 0))
        postgres = await stack.enter_async_context(EmbeddedPostgres(directory / "server"))
        await migration.apply(postgres.dsn, migrations(service.spec))
        redis_port = _free_port()
        redis = await asyncio.create_subprocess_exec(
            *(program, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
            cwd=directory,
            stdout=asyncio.subprocess.DEVNULL,
        )
        stack.push_async_callback(_ended, redis)
        port, operations = _free_port(), _free_port()
        environ = {
            "DATABASE_URL": postgres.dsn,
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "BANK_URL": f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/livez",
            "ROADWORTHY_PORT": str(port),
            "ROADWORTHY_OPERATIONS_PORT": str(operations),
            "ROADWORTHY_LOG_LEVEL": "critical",
        }
        served = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "roadworthy", "serve", "benchmarks.probes:service"),
            env={**os.environ, **environ},
            stdout=asyncio.subprocess.PIPE,
        )
        stack.push_async_callback(_ended, served)
        assert served.stdout is not None
        async with asyncio.timeout(_SETTLED_WITHIN):
            while not (line := await served.stdout.readline()).startswith(b"ready"):
                assert line, "the service ended before it was ready"
        yield Scene(port, operations, directory / "server" / "postgres", redis.pid, other)


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _measure(scene: Scene, probes: int, report: Report) -> bool:
    """Measure all; return whether the promise held."""
    held = True
    await scene.has("/health", 200)
    await scene.has("/readyz", 200)
    held &= await _latencies(scene, "all are well", probes, report, dict.fromkeys(_PATHS, 200))
    held &= await _at_once(scene, "all are well", report)
    with scene.hung():
        # From the first moment on: the checks have yet to notice.
        held &= await _latencies(scene, "all hang, unnoticed", 60, report, {"/livez": 200})
        for path in ("/health", "/readyz"):
            await scene.has(path, 503)
        told = {"/livez": 200, "/readyz": 503, "/health": 503}
        held &= await _latencies(scene, "all hang", probes, report, told)
        held &= await _at_once(scene, "all hang", report)
    began = time.perf_counter()
    await scene.has("/health", 200)
    report.add("until /health is 200 again", OURS, time.perf_counter() - began, unit="s", better="less")
    return held


async def _latencies(scene: Scene, when: str, probes: int, report: Report, statuses: dict[str, int]) -> bool:
    """Probe one after the other, each path in turn, 200 a second."""
    took = []
    held = True
    for number in range(probes):
        path = _PATHS[number % len(_PATHS)]
        status, seconds_taken, _ = await scene.ask(path)
        held &= status == statuses.get(path, status)
        took.append(seconds_taken)
        await asyncio.sleep(max(0.005 - seconds_taken, 0))
    took.sort()
    for name, share in (("median", 0.5), ("99th percentile", 0.99), ("slowest", 1.0)):
        value = took[min(int(len(took) * share), len(took) - 1)]
        report.add(f"a probe while {when}, {name}", OURS, value * 1000, unit="ms", better="less")
    return held and took[-1] < PROMISED


async def _at_once(scene: Scene, when: str, report: Report) -> bool:
    """Probe a hundred times at once, and count the looks at a check, which may be due by itself meanwhile."""
    before = await scene.looks(_CHECK)
    answers = await asyncio.gather(*(scene.ask("/health") for _ in range(_AT_ONCE)))
    looks = await scene.looks(_CHECK) - before
    slowest = max(took for _, took, _ in answers)
    report.add(f"{_AT_ONCE} probes at once while {when}, the last", OURS, slowest * 1000, unit="ms", better="less")
    report.add(
        f"looks at the {_CHECK} for {_AT_ONCE} probes at once while {when}", OURS, looks, unit="looks", better="less"
    )
    return looks <= 1


async def _run(quick: bool) -> tuple[Report, bool]:
    report = Report("probes", ("roadworthy", "granian", "uvloop", "asyncpg"))
    with tempfile.TemporaryDirectory(prefix="roadworthy-bench-") as directory:
        # Root's PostgreSQL runs as another user, who has to get past this directory to its own.
        place = Path(directory)
        await asyncio.to_thread(place.chmod, 0o711)
        async with _scene(place) as scene:
            held = await _measure(scene, 300 if quick else 3000, report)
    return report, held


def main() -> None:
    """Measure, print, and say by the exit code whether the promise held."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probes", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="a tenth of the probes; under half a minute")
    options = parser.parse_args()
    report, held = asyncio.run(_run(options.quick))
    print(report.as_json() if options.json else report.as_table())
    if not held:
        print(f"\na probe was answered wrongly or later than {PROMISED * 1000:g} ms", file=sys.stderr)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
