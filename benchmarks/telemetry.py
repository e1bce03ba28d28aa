"""What metrics cost and what they are worth: a request's share, a scrape's, and what is left after a kill.

    python -m benchmarks.telemetry [--quick] [--json]

In process, rounds go through the bare application, ours and each peer in turn; a layer's cost is its processor time
less the bare one's of the same round. A scrape's stall is the longest time for which the event loop that writes it does
nothing else. At last four web processes answer requests while they are killed and recycled, and what the scrape counts
is held against what the clients saw: a request that broke off is sent again. `--quick` does that with fewer requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from benchmarks.http import microseconds
from benchmarks.http_applications import BARE
from benchmarks.report import OURS, Report
from benchmarks.telemetry_applications import SHARED_SEND, SUBJECTS, MetricsLayer, variants
from roadworthy.health.policy import HealthState
from roadworthy.health.report import Health
from roadworthy.http.operations import operations_app
from roadworthy.telemetry import exposition
from roadworthy.telemetry.exposition import Snapshot
from roadworthy.telemetry.ledger import KeptLedger, Ledger
from roadworthy.telemetry.registry import MetricRegistry
from roadworthy.telemetry.spec import LATENCY_BUCKETS, Label, MetricSpec

PACKAGES = (
    "fastapi",
    "starlette",
    "prometheus-client",
    "prometheus-fastapi-instrumentator",
    "starlette-exporter",
    "opentelemetry-instrumentation-asgi",
    "granian",
)

TARGET = "benchmarks.telemetry_applications:service"
CLIENT = "prometheus_client"
LINES = 20_000
RECYCLED = 300
_PER_SERIES = len(LATENCY_BUCKETS) + 3


async def _layers(report: Report, framework: str, *, rounds: int, requests: int) -> None:
    apps = variants(framework)
    ours: Any = apps[OURS]
    assert isinstance(ours, MetricsLayer)
    async with ours.bound():
        for _ in range(rounds):
            took = {subject: await microseconds(app, requests) for subject, app in apps.items()}
            for subject in SUBJECTS:
                measure = f"metrics added to a request, {framework}"
                report.add(measure, subject, took[subject] - took[BARE], unit="us", better="less")
            measure = f"metrics added to the shared send, {framework}"
            report.add(measure, OURS, took[OURS] - took[SHARED_SEND], unit="us", better="less")
        counted = ours.metrics.value(
            "http_request_duration_seconds_count", {"method": "GET", "route": "/items/{number}"}
        )
        assert counted == rounds * (requests + requests // 10), f"{counted} requests were counted"


def _filled(series: int, ledger: Ledger | None = None) -> MetricRegistry:
    spec = MetricSpec("took_seconds", "histogram", "Time.", (Label("route", limit=10_000),), LATENCY_BUCKETS)
    registry = MetricRegistry([spec], ledger=ledger)
    for number in range(series):
        registry.bound(spec).labels(f"/route/{number}").observe(0.03)
    return registry


async def _stall(call: Callable[[], Awaitable[object]]) -> float:
    """Return for how many milliseconds the event loop did nothing else, at most, while it ran `call`."""
    longest, ended = 0.0, asyncio.Event()

    async def others() -> None:
        nonlocal longest
        before = time.perf_counter()
        while not ended.is_set():
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now

    other = asyncio.create_task(others())
    await asyncio.sleep(0)
    await call()
    ended.set()
    await other
    return longest * 1000


async def _scrapes(report: Report, *, rounds: int) -> None:
    registry = _filled(LINES // _PER_SERIES)
    peer = CollectorRegistry()
    histogram = Histogram("took_seconds", "Time.", ["route"], buckets=LATENCY_BUCKETS, registry=peer)
    for number in range(LINES // _PER_SERIES):
        histogram.labels(f"/route/{number}").observe(0.03)
    app = operations_app(Health(HealthState, []), registry.snapshot_in_turns)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://benchmark") as client:
        lines = (await client.get("/metrics")).text.count("\n")
        assert lines > LINES * 0.99, f"{lines} lines"

        async def scraped() -> None:
            await client.get("/metrics")

        async def told() -> None:
            exposition.encode(await registry.snapshot_in_turns())

        async def of_peer() -> None:
            generate_latest(peer)

        for _ in range(rounds):
            measure = f"requests held up by a scrape of {LINES} lines"
            report.add(measure, OURS, await _stall(scraped), unit="ms", better="less")
            report.add(measure, CLIENT, await _stall(of_peer), unit="ms", better="less")
            measure = f"requests held up by a supervisor that asks for {LINES} lines"
            report.add(measure, OURS, await _stall(told), unit="ms", better="less")


async def _recycled(report: Report, *, rounds: int) -> None:
    """Scrape four processes' numbers with those of hundreds that have ended, each with a ledger of its own."""
    archive = exposition.EMPTY
    for ended in (0, RECYCLED):
        for _ in range(ended):
            kept = KeptLedger()
            _filled(40, Ledger(kept.descriptor))
            archive = exposition.retire(archive, kept.read())
            kept.close()
        living = [_filled(40) for _ in range(4)]

        async def merged(living: list[MetricRegistry] = living, archive: Snapshot = archive) -> Snapshot:
            told = {f"web-{number}": one.snapshot() for number, one in enumerate(living)}
            return exposition.merge(told, archive)

        transport = httpx.ASGITransport(operations_app(Health(HealthState, []), merged))
        async with httpx.AsyncClient(transport=transport, base_url="http://benchmark") as client:
            for _ in range(rounds):
                began = time.perf_counter()
                text = (await client.get("/metrics")).text
                took = (time.perf_counter() - began) * 1000
                report.add(f"scrape of 4 processes after {ended} recycled", OURS, took, unit="ms", better="less")
            assert f'took_seconds_count{{route="/route/7"}} {ended + 4}.0' in text


@dataclass(slots=True)
class _Load:
    """What clients saw: answers, and requests that broke off and were sent again."""

    answered: int = 0
    broken: int = 0

    async def client(self, port: int, requests: int) -> None:
        reader = writer = None
        while requests:
            try:
                if writer is None or reader is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nhost: benchmark\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                assert head.startswith(b"HTTP/1.1 200"), head
            except (OSError, asyncio.IncompleteReadError):
                self.broken += 1
                reader = writer = None
                await asyncio.sleep(0.005)
                continue
            self.answered += 1
            requests -= 1
            if b"connection: close" in head.lower():
                reader = writer = None
        if writer is not None:
            writer.close()


async def _under_kill(report: Report, *, requests: int, kills: int, clients: int = 16) -> None:
    with tempfile.TemporaryDirectory() as directory:
        environ = {**os.environ, "ROADWORTHY_PORT": "0", "ROADWORTHY_OPERATIONS_PORT": "0"}
        environ |= {"ROADWORTHY_DATA_DIR": directory, "ROADWORTHY_LOG_LEVEL": "critical"}
        environ.pop("DATABASE_URL", None)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "roadworthy", "run", TARGET, "--web", "4", env=environ, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(300):
                await _killing(report, process, requests=requests, kills=kills, clients=clients)
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 60)


async def _killing(
    report: Report, process: asyncio.subprocess.Process, *, requests: int, kills: int, clients: int
) -> None:
    assert process.stdout is not None
    port = operations = 0
    while not (port and operations):
        line = (await process.stdout.readline()).decode()
        if found := re.match(r"(ready|operations)\s+http://[^:]+:(\d+)", line):
            port, operations = (int(found[2]), operations) if found[1] == "ready" else (port, int(found[2]))
    load, done = _Load(), asyncio.Event()
    took: list[float] = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{operations}", timeout=30) as client:

        async def processes() -> dict[str, Any]:
            checks = json.loads((await client.get("/health")).text)["checks"]
            found = {name: one[0]["observedValue"] for name, one in checks.items() if name.startswith("process:web")}
            return {name: value["pid"] for name, value in found.items() if value["state"] == "ready"}

        async def count() -> float:
            began = time.perf_counter()
            text = (await client.get("/metrics")).text
            took.append((time.perf_counter() - began) * 1000)
            return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("http_requests_total{"))

        async def watch() -> None:
            last = 0.0
            while not done.is_set():
                now = await count()
                assert now >= last, f"the total went from {last} to {now}"
                last = now
                await asyncio.sleep(0.05)

        while len(await processes()) < 4:
            await asyncio.sleep(0.1)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            driving = [group.create_task(load.client(port, requests // clients)) for _ in range(clients)]
            for number in range(kills):
                while load.answered < requests * (number + 1) // (kills + 2):
                    await asyncio.sleep(0.01)
                living = await processes()
                if living:
                    os.kill(min(living.values()), signal.SIGKILL if number % 2 == 0 else signal.SIGTERM)
            await asyncio.wait(driving)
            done.set()
            await watching
        counted = await count()
    lost = max(load.answered - counted, 0)
    excess = max(counted - load.answered, 0)
    assert excess <= load.broken, f"{excess} requests too many were counted, {load.broken} broke off"
    what = f"{requests} requests, {kills} kills and recycles"
    report.add(f"answered and not counted, {what}", OURS, lost, unit="requests", better="less")
    report.add(f"counted and broken off, {what}", OURS, excess, unit="requests", better="less")
    for one in took:
        report.add("scrape of four web processes under load and kills", OURS, one, unit="ms", better="less")
    report.add("slowest scrape under load and kills", OURS, max(took), unit="ms", better="less")


async def _measure(report: Report, *, quick: bool) -> None:
    for framework in ("Starlette", "FastAPI"):
        await _layers(report, framework, rounds=15 if quick else 60, requests=200)
    await _scrapes(report, rounds=5 if quick else 20)
    await _recycled(report, rounds=5 if quick else 20)
    await _under_kill(report, requests=4_000 if quick else 20_000, kills=2 if quick else 8)


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.telemetry", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and requests, in under a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    report = Report("telemetry", PACKAGES)
    asyncio.run(_measure(report, quick=options.quick))
    print(report.as_json() if options.json else report.as_table())


if __name__ == "__main__":
    main()
