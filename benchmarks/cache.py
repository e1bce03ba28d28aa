"""Caches side by side: `python -m benchmarks.cache [--quick] [--json] [--subject NAME]... [--measure NAME]...`.

Hits in memory, gets from the shared tier by 64 callers, how much of a trace is found, how often the source of one cold
key is asked, and what a get costs while Redis hangs. Each round goes through all caches in turn, on one Redis and one
PostgreSQL that are started for the run. README.md in this directory tells what each measure is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from roadworthy.runtime.embedded import EmbeddedPostgres

from .caches import frozen, hits, shared, stampede, traces
from .caches.registry import OVER_POSTGRES, SUBJECTS, kind_of
from .caches.subject import Subject, load, load_sync
from .queues import servers
from .report import Report

_PACKAGES = (
    "roadworthy",
    "cashews",
    "aiocache",
    "dogpile.cache",
    "cachetools",
    "cachebox",
    "redis",
    "hiredis",
    "coredis",
    "valkey-glide",
    "uvloop",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    hit_seconds: float
    get_seconds: float
    keys: int
    trace: int
    stampedes: int
    processes: tuple[int, ...]
    frozen_calls: int


_QUICK = Size(
    rounds=3, hit_seconds=0.02, get_seconds=0.2, keys=2_000, trace=20_000, stampedes=1, processes=(4,), frozen_calls=1
)
_FULL = Size(
    rounds=7,
    hit_seconds=0.1,
    get_seconds=1.0,
    keys=20_000,
    trace=300_000,
    stampedes=3,
    processes=(1, 4),
    frozen_calls=3,
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: whom it measures, on which servers, and how much."""

    names: list[str]
    size: Size
    report: Report
    redis: str
    postgres: str

    def offering(self, method: str) -> Iterator[tuple[str, Subject]]:
        """Yield those that have `method`, each to be opened."""
        for name in self.names:
            kind = kind_of(name)
            if kind.offers(method):
                yield name, kind(self.redis, self.postgres)

    async def hits(self) -> None:
        """Measure decorated hits in memory."""
        for method in ("decorated", "decorated_sync"):
            measure = "decorated hit in memory, async" if method == "decorated" else "decorated hit in memory, sync"
            opened = list(self.offering(method))
            async with contextlib.AsyncExitStack() as stack:
                for _, subject in opened:
                    await subject.open()
                    stack.push_async_callback(subject.close)
                if method == "decorated":
                    async_calls = [(name, subject.decorated(load)) for name, subject in opened]
                    for _ in range(self.size.rounds):
                        for name, call in async_calls:
                            took = await hits.of_async(call, self.size.hit_seconds)
                            self.report.add(measure, name, took, unit="ns", better="less")
                else:
                    calls = [(name, subject.decorated_sync(load_sync)) for name, subject in opened]
                    for _ in range(self.size.rounds):
                        for name, sync_call in calls:
                            took = await asyncio.to_thread(hits.of_sync, sync_call, self.size.hit_seconds)
                            self.report.add(measure, name, took, unit="ns", better="less")

    async def gets(self) -> None:
        """Measure gets from the shared tier."""
        opened = [*self.offering("get"), *self.offering("get_in_thread")]
        async with contextlib.AsyncExitStack() as stack:
            for _, subject in opened:
                await subject.open()
                stack.push_async_callback(subject.close)
                await subject.fill(shared.keys_of(subject))
                await shared.gets(subject, self.size.get_seconds / 3)
            for _ in range(self.size.rounds):
                for name, subject in opened:
                    rate = await shared.gets(subject, self.size.get_seconds)
                    self.report.add("gets from the shared tier, 64 callers", name, rate, unit="gets/s", better="more")

    def ratios(self) -> None:
        """Measure how much of each trace is found."""
        for trace, keys in traces.traces(self.size.keys, self.size.trace).items():
            for share in (1, 10):
                for name, subject in self.offering("memory"):
                    found = traces.ratio(subject.memory(self.size.keys * share // 100), keys)
                    self.report.add(
                        f"found, {trace}, memory for {share} % of the keys", name, found, unit="%", better="more"
                    )

    async def stampedes(self, callers: int = 200) -> None:
        """Count how often the source of a cold key is asked."""
        for processes in self.size.processes:
            measure = f"loads of one cold key, {callers} callers in each of {processes}"
            for _ in range(self.size.stampedes):
                for name, subject in self.offering("protected"):
                    await _flush(self.redis)
                    asked = await stampede.loads(name, subject, processes, callers)
                    self.report.add(measure, name, asked, unit="loads", better="less")

    async def hanging(self, program: str, directory: Path) -> None:
        """Measure what a get costs while Redis hangs."""
        for name, subject in self.offering("over_shared"):
            if name == OVER_POSTGRES:
                continue
            first, later = await frozen.added(type(subject), self.postgres, program, directory, self.size.frozen_calls)
            self.report.add("first get while Redis hangs", name, first, unit="ms", better="less")
            self.report.add("a get after that", name, later, unit="ms", better="less")


async def _flush(url: str) -> None:
    port = int(url.rpartition(":")[2].partition("/")[0])
    await servers.Redis(0, url, port).flush()


async def run(directory: Path, options: argparse.Namespace) -> Report:
    """Measure as `options` say, on servers kept in `directory`."""
    if (program := servers.redis_program()) is None:
        raise SystemExit("redis-server is not on the PATH; install Redis or Valkey")
    report = Report("cache", _PACKAGES)
    chosen = [name for name in SUBJECTS if not options.subject or any(map(name.startswith, options.subject))]
    async with contextlib.AsyncExitStack() as stack:
        url = (await stack.enter_async_context(servers.redis(program, directory))).url
        database = servers.Database(await stack.enter_async_context(EmbeddedPostgres(directory / "postgres")))
        postgres = await stack.enter_async_context(database.fresh())
        one = Run(chosen, _QUICK if options.quick else _FULL, report, url, postgres)
        asked = options.measure or ["hits", "gets", "ratios", "stampedes", "hanging"]
        if "hits" in asked:
            await one.hits()
        if "gets" in asked:
            await one.gets()
        if "ratios" in asked:
            one.ratios()
        if "stampedes" in asked:
            await one.stampedes()
        if "hanging" in asked:
            await one.hanging(program, directory)
    return report


def main() -> None:
    """Parse the command line, measure, and print."""
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three short rounds: under a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--subject", action="append", help="only caches whose name begins so (may be repeated)")
    parser.add_argument(
        "--measure",
        action="append",
        choices=["hits", "gets", "ratios", "stampedes", "hanging"],
        help="only these measures (may be repeated)",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="roadworthy-bench-") as directory:
        # Root's PostgreSQL runs as another user, who has to get past this directory to its own.
        Path(directory).chmod(0o711)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(run(Path(directory), options))
    print(report.as_json() if options.json else report.as_table())


if __name__ == "__main__":
    main()
