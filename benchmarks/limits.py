"""Rate limiters side by side: `python -m benchmarks.limits [--quick] [--json] [--measure NAME]...`.

Decisions in memory and over Redis, what a limit adds to a request of a FastAPI application, how many are admitted too
many by four processes, and what becomes of requests while Redis refuses connections or hangs. Each round goes through
all limiters in turn, on one Redis that is started for the run. README.md in this directory tells what each measure is.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop

from .limiters import crowd, loads, outage, requests
from .limiters.deciders import EACH_ASKED, in_memory, in_memory_now, over_redis
from .queues import servers
from .report import OURS, Report

_PACKAGES = (
    "roadworthy",
    "limits",
    "slowapi",
    "fastapi-limiter",
    "throttled-py",
    "pyrate-limiter",
    "aiolimiter",
    "fastapi",
    "redis",
    "hiredis",
    "uvloop",
)
_MEASURES = ("memory", "redis", "requests", "crowd", "outage")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    keys: int
    decisions: int
    seconds: float
    request_rounds: int
    requests: int
    crowd_seconds: float
    outage_requests: int


_QUICK = Size(
    rounds=3,
    keys=20_000,
    decisions=5_000,
    seconds=0.15,
    request_rounds=20,
    requests=100,
    crowd_seconds=1.0,
    outage_requests=2,
)
_FULL = Size(
    rounds=9,
    keys=100_000,
    decisions=10_000,
    seconds=0.7,
    request_rounds=60,
    requests=200,
    crowd_seconds=2.0,
    outage_requests=10,
)

_PLENTY = 10_000_000
"""Units a minute of a quota that a load does not use up: spaced so closely that all of it has come back."""


async def memory(report: Report, size: Size) -> None:
    """Measure decisions in memory: of a thousand keys, of one, of one that is denied, of very many."""
    keys = [f"client {number}" for number in range(size.keys)]
    draws = random.Random(0)
    cases = (
        ("1,000 keys", _PLENTY, keys[:1000], [draws.choice(keys[:1000]) for _ in range(size.decisions)]),
        ("one key", _PLENTY, keys[:1], keys[:1] * size.decisions),
        ("denied", 10, keys[:1] * 20, keys[:1] * size.decisions),
        (f"{size.keys:,} keys", _PLENTY, keys, [draws.choice(keys) for _ in range(size.decisions)]),
    )
    for case, per_minute, first, asked in cases:
        awaited, called = in_memory(per_minute, 2 * size.keys), in_memory_now(per_minute, 2 * size.keys)
        for decider in awaited.values():
            await loads.nanoseconds(decider, first)
        for now in called.values():
            loads.nanoseconds_now(now, first)
        for _ in range(size.rounds):
            for name, decider in awaited.items():
                took = await loads.nanoseconds(decider, asked)
                report.add(f"decision in memory, awaited, {case}", name, took, unit="ns", better="less")
            for name, now in called.items():
                took = loads.nanoseconds_now(now, asked)
                report.add(f"decision in memory, called, {case}", name, took, unit="ns", better="less")


async def redis(report: Report, size: Size, url: str) -> None:
    """Measure decisions over Redis, of 1 and 64 callers; ours with leases, and with each decision asked."""
    keys = [f"client {number}" for number in range(1000)]
    async with over_redis(url, 1_000_000, 10_000) as deciders:
        for callers in (1, 64):
            for decider in deciders.values():
                await loads.per_second(decider, callers, keys, 0.2, seed=0)
            for round_ in range(size.rounds):
                for name, decider in deciders.items():
                    rate = await loads.per_second(decider, callers, keys, size.seconds, seed=round_)
                    _add_rate(report, callers, name, rate)


def _add_rate(report: Report, callers: int, name: str, rate: float) -> None:
    by = "1 caller" if callers == 1 else f"{callers} callers"
    if name != EACH_ASKED:
        report.add(f"decisions over Redis, {by}", name, rate, unit="decisions/s", better="more")
    if name != OURS:
        subject = OURS if name == EACH_ASKED else name
        report.add(f"decisions over Redis, each of them asked, {by}", subject, rate, unit="decisions/s", better="more")


async def run(directory: Path, options: argparse.Namespace) -> Report:
    """Measure as `options` say, with files in `directory`."""
    report, size = Report("limits", _PACKAGES), _QUICK if options.quick else _FULL
    asked = options.measure or _MEASURES
    if "memory" in asked:
        await memory(report, size)
    if "requests" in asked:
        await requests.measure(report, rounds=size.request_rounds, requests=size.requests)
    if not {"redis", "crowd", "outage"} & set(asked):
        return report
    if (program := servers.redis_program()) is None:
        raise SystemExit("redis-server is not on the PATH; install Redis or Valkey")
    async with servers.redis(program, directory) as server:
        if "redis" in asked:
            await redis(report, size, server.url)
        if "crowd" in asked:
            await crowd.measure(report, server, seconds=size.crowd_seconds)
        if "outage" in asked:
            await outage.measure(report, program, directory, requests=size.outage_requests)
    return report


def main() -> None:
    """Parse the command line, measure, and print."""
    logging.disable(logging.CRITICAL)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="short rounds: under a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--measure", action="append", choices=_MEASURES, help="only these (may be repeated)")
    options = parser.parse_args()
    # Each sample begins with a collection, which is not to look at all that was imported.
    gc.collect()
    gc.freeze()
    with (
        tempfile.TemporaryDirectory(prefix="roadworthy-bench-") as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        report = runner.run(run(Path(directory), options))
    print(report.as_json() if options.json else report.as_table())


if __name__ == "__main__":
    main()
