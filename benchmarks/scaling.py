"""A queue that gets ten times its load for a while: `python -m benchmarks.scaling [--quick] [--json]`.

`roadworthy run` keeps between two and eight worker processes, each with two jobs of a second at once. Three jobs come a
second, then thirty, then three again. Each line tells the time, what came, what waited and ran, how many workers were
desired, and how many there were. Without `--quick` the window is the five minutes of Kubernetes, and a second queue is
scaled by what its workers use of the processor.

A job that was cut short has begun and not ended, or begun twice. There is no peer to compare with.
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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import httpx

from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.postgres import PostgresEngine
from roadworthy.runtime.scratch import scratch_database

from .report import OURS, Report

_TARGET = f"{Path(__file__).with_name('scaling_service.py')}:service"
_EFFECTS = "CREATE TABLE effects (job bigint NOT NULL, attempt int NOT NULL, what text NOT NULL)"
_CUT_SHORT = """
SELECT count(*) FROM (
    SELECT FROM effects GROUP BY job
    HAVING count(*) FILTER (WHERE what = 'begun') <> 1 OR count(*) FILTER (WHERE what = 'ended') <> 1
) AS odd
"""
_SECOND = 1.0
_USUAL, _BURST = 3, 30


@dataclass(frozen=True, slots=True)
class Moment:
    """A queue at a time, in seconds since the beginning."""

    at: float
    arriving: int
    waiting: int
    running: int
    desired: int
    workers: int
    draining: int


@dataclass(slots=True)
class Timeline:
    """What was seen of a queue, each second."""

    queue: str
    show: bool
    began: float = field(default_factory=time.monotonic)
    moments: list[Moment] = field(default_factory=list)

    def see(self, moment: Moment) -> None:
        """Keep a moment, and print it where the number of workers changed, or after a while."""
        last = self.moments[-1] if self.moments else None
        self.moments.append(moment)
        changed = last is None or (last.workers, last.arriving) != (moment.workers, moment.arriving)
        if self.show and (changed or int(moment.at) % 15 == 0):
            print(
                f"{self.queue:>10} {moment.at:6.0f} s  {moment.arriving:3} jobs/s come  {moment.waiting:5} wait  "
                f"{moment.running:3} run  {moment.desired:3} desired  {moment.workers:2} workers  "
                f"{moment.draining:2} finishing",
                flush=True,
            )

    def changes(self) -> int:
        """Return how often the number of workers changed."""
        counts = [moment.workers for moment in self.moments]
        return sum(before != after for before, after in pairwise(counts))


class Running:
    """A running service, with its database."""

    def __init__(self, pool: Pool, engine: PostgresEngine, operations: str, client: httpx.AsyncClient) -> None:
        """Made by `_running`."""
        self.pool = pool
        self.engine = engine
        self._operations = operations
        self._client = client

    async def enqueue(self, queue: str, job: str, count: int, **arguments: float) -> None:
        """Add so many jobs."""
        text = json.dumps(arguments).encode()
        await self.engine.enqueue([NewJob(queue, job, text, 1) for _ in range(count)])

    async def look(self, timeline: Timeline, arriving: int) -> Moment:
        """See how the queue of a timeline stands."""
        counts = {found.queue: found for found in await self.engine.counts()}
        found = counts.get(timeline.queue)
        checks = (await self._client.get(f"{self._operations}/health")).json()["checks"]
        prefix = f"process:worker-{timeline.queue}-"
        states = [of[0]["observedValue"]["state"] for name, of in checks.items() if name.startswith(prefix)]
        draining = states.count("draining")
        moment = Moment(
            time.monotonic() - timeline.began,
            arriving,
            found.ready if found else 0,
            found.running if found else 0,
            await self._desired(timeline.queue),
            len(states) - draining,
            draining,
        )
        timeline.see(moment)
        return moment

    async def _desired(self, queue: str) -> int:
        text = (await self._client.get(f"{self._operations}/metrics")).text
        found = re.search(rf'^queue_desired_workers\{{queue="{queue}"\}} (\S+)', text, re.MULTILINE)
        return 0 if found is None else int(float(found[1]))


@asynccontextmanager
async def _running(window: float) -> AsyncIterator[Running]:
    """Run the service, with its own database, for the length of the block."""
    with tempfile.TemporaryDirectory() as directory:
        async with (
            scratch_database() as dsn,
            await Pool.open(dsn, DatabaseSpec("main", pool=(1, 3))) as pool,
            httpx.AsyncClient(timeout=30) as client,
        ):
            await pool.execute(_EFFECTS)
            environ = {
                **os.environ,
                "DATABASE_URL": dsn,
                "ROADWORTHY_DATA_DIR": directory,
                "ROADWORTHY_OPERATIONS_PORT": "0",
                "BENCHMARK_WINDOW": str(window),
            }
            with (Path(directory) / "log").open("wb") as log:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "roadworthy", "run", _TARGET),
                    env=environ,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                )
            engine = PostgresEngine(pool, dsn)
            try:
                yield Running(pool, engine, await _operations(process), client)
            finally:
                await engine.close()
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(60):
                    await process.wait()


async def _operations(process: asyncio.subprocess.Process) -> str:
    """Wait until the service is ready, and return the address of its operations port."""
    assert process.stdout is not None
    address = ""
    async with asyncio.timeout(60):
        async for line in process.stdout:
            if found := re.match(rb"operations  (http://[^/]+)", line):
                address = found[1].decode()
            if line.startswith(b"ready"):
                return address
    raise RuntimeError("the service did not start")


async def _burst(report: Report, running: Running, *, lasting: float, window: float, show: bool) -> None:
    timeline = Timeline("burst", show)

    async def spend(duration: float, arriving: int) -> None:
        end = time.monotonic() + duration
        while time.monotonic() < end:
            await running.enqueue("burst", "wait", arriving, duration=1.0)
            await running.look(timeline, arriving)
            await asyncio.sleep(_SECOND)

    await spend(6, _USUAL)
    before = timeline.moments[-1].workers
    burst_at = timeline.moments[-1].at
    await spend(lasting, _BURST)
    while (moment := timeline.moments[-1]).workers > 2:
        if moment.at > burst_at + lasting + 120 + 2 * window:
            raise RuntimeError(f"there are still {moment.workers} workers")
        await spend(_SECOND, _USUAL)
    while moment.running or moment.waiting or moment.draining:
        await asyncio.sleep(_SECOND)
        moment = await running.look(timeline, 0)
    most = max(moment.workers for moment in timeline.moments)
    bound_at = next(moment.at for moment in timeline.moments if moment.workers == most)
    needed_at = max(moment.at for moment in timeline.moments if moment.desired > 2)
    returned_at = max(moment.at for moment in timeline.moments if moment.workers > 2)
    figures = (
        ("workers before the burst", before, "processes"),
        ("workers at the most", most, "processes"),
        ("from the burst to the most", bound_at - burst_at, "s"),
        ("from the end of the need to the return", returned_at - needed_at, "s"),
        ("changes of the number", timeline.changes(), "changes"),
        ("jobs that ended", await running.pool.fetchval("SELECT count(*) FROM effects WHERE what = 'ended'"), "jobs"),
        ("jobs cut short", await running.pool.fetchval(_CUT_SHORT), "jobs"),
    )
    for measure, value, unit in figures:
        report.add(measure, OURS, float(value), unit=unit, better="less")


async def _computing(report: Report, running: Running, *, show: bool) -> None:
    """One job takes a fifth of a processor: all that its worker requests, where half of that is the target."""
    timeline = Timeline("computing", show)
    await running.enqueue("computing", "compute", 1, duration=90.0, share=0.2)

    async def until(workers: int, within: float) -> float:
        end = time.monotonic() + within
        while (await running.look(timeline, 0)).workers != workers:
            if time.monotonic() > end:
                raise RuntimeError(f"there are {timeline.moments[-1].workers} workers, not {workers}")
            await asyncio.sleep(_SECOND)
        return timeline.moments[-1].at

    added_at = await until(2, 90)
    await until(1, 240)
    report.add("by CPU, from the load to a second worker", OURS, added_at, unit="s", better="less")
    report.add("by CPU, changes of the number", OURS, float(timeline.changes()), unit="changes", better="less")
    cut_short = await running.pool.fetchval(_CUT_SHORT)
    report.add("by CPU, jobs cut short", OURS, float(cut_short), unit="jobs", better="less")


async def _measure(report: Report, *, quick: bool, show: bool) -> None:
    window = timedelta(seconds=5) if quick else timedelta(minutes=5)
    async with _running(window.total_seconds()) as running:
        await _burst(report, running, lasting=9.0 if quick else 60.0, window=window.total_seconds(), show=show)
        if not quick:
            await _computing(report, running, show=show)


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short burst and a short window, in under a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the timeline and a table")
    options = parser.parse_args()
    report = Report("scaling")
    asyncio.run(_measure(report, quick=options.quick, show=not options.json))
    print(report.as_json() if options.json else f"\n{report.as_table()}")


if __name__ == "__main__":
    main()
