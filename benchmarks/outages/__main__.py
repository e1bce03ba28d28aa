"""Disturb what the reference services depend on while they are asked, and print what they did.

    python -m benchmarks.outages [--quick] [--json] [--only SERVICE] [--disturb WAY]

PostgreSQL, Redis and the crawled web site stand behind proxies, which in turn are slow, hang, are cut off and lie, and
are restored. The exit code is 1 where a promise was broken: that the error rate stays under the objective wherever
something answers in the dependency's place, that everything else is refused in time and as what it is, that the process
is alive, and that all is well again soon after.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from pathlib import Path

from roadworthy.runtime.embedded import EmbeddedPostgres
from roadworthy.telemetry import logging

from ..report import OURS, Report
from . import services
from .outages import DISTURBED, Row, outages
from .proxy import Behaviour

Opened = Callable[[EmbeddedPostgres, Path], AbstractAsyncContextManager[services.Running]]

SERVICES: dict[str, Opened] = {"sitesearch": services.sitesearch, "vitals": services.vitals}


async def run(
    names: Sequence[str],
    behaviours: Sequence[Behaviour],
    directory: Path,
    *,
    seconds: float,
    every: float,
    generous: float,
) -> list[Row]:
    """Return the rows of these services, which run side by side."""
    async with EmbeddedPostgres(directory / "postgres") as postgres:

        async def rows(name: str) -> list[Row]:
            async with SERVICES[name](postgres, directory) as running:
                judging = outages(running, behaviours, seconds=seconds, every=every, generous=generous)
                return [row async for row in judging]

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(rows(name)) for name in names]
    return [row for task in tasks for row in task.result()]


def as_json(rows: Sequence[Row]) -> str:
    """Return everything, for programs."""
    report = Report("outages", ("roadworthy", "asyncpg", "granian"))
    for row in rows:
        measure = f"{row.service}: {row.kind} while {row.dependency} {row.behaviour}"
        report.add(f"{measure}, errors", OURS, 100 * row.error_rate, unit="%", better="less")
        report.add(f"{measure}, slowest", OURS, row.slowest, unit="s", better="less")
    holds = not any(row.broken for row in rows)
    return json.dumps(
        {**json.loads(report.as_json()), "holds": holds, "outages": [asdict(row) for row in rows]}, indent=2
    )


def as_table(rows: Sequence[Row]) -> str:
    """Return everything, for people."""
    header = (
        "service",
        "dependency",
        "is",
        "request",
        "answered instead by",
        "asked",
        "errors",
        "slowest",
        "well after",
    )
    lines = [header]
    lines += [
        (
            row.service,
            row.dependency,
            row.behaviour,
            row.kind,
            row.fallback or "nothing: refused",
            str(row.requests),
            f"{row.error_rate:.1%}",
            f"{row.slowest:.2f} s",
            "never" if row.recovered is None else f"{row.recovered:.1f} s",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    laid_out = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    laid_out.insert(1, "  ".join("-" * width for width in widths))
    broken = [
        f"  {row.service}, {row.dependency} {row.behaviour}, {row.kind}: {'; '.join(row.broken)} {row.outcomes}"
        for row in rows
        if row.broken
    ]
    verdict = ["PROMISES BROKEN:", *broken] if broken else ["Every promise was kept."]
    return "\n".join([*laid_out, "", *verdict])


def main() -> int:
    """Parse the command line, run, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outages", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="disturb for less long; takes under a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--only", choices=tuple(SERVICES), help="one service alone")
    parser.add_argument("--disturb", choices=DISTURBED, action="append", help="in this way alone; may be repeated")
    parser.add_argument(
        "--generous", type=float, default=1.0, metavar="N", help="let times be N times as long as promised"
    )
    parser.add_argument("--keep", type=Path, help="keep the services' logs in this directory")
    options = parser.parse_args()
    logging.configure("json", "critical")
    names = tuple(SERVICES) if options.only is None else (options.only,)
    with tempfile.TemporaryDirectory(prefix="roadworthy-outages-") as temporary:
        directory = options.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        # Root's server runs as another user, who has to get past this directory to its own.
        directory.chmod(0o711)
        seconds, every = (1.2, 0.1) if options.quick else (8.0, 0.05)
        ways, generous = options.disturb or DISTURBED, options.generous
        rows = asyncio.run(run(names, ways, directory, seconds=seconds, every=every, generous=generous))
    print(as_json(rows) if options.json else as_table(rows))
    return 1 if any(row.broken for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
