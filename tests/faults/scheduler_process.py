"""A scheduler in a process of its own, on a clock that tests choose: `python scheduler_process.py '{"dsn": ...}'`.

The engine's clock reads `begins` when the database's reads `began`, and goes `speed` times as fast.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from datetime import datetime, timedelta

from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.jobs import scheduler as module
from roadworthy.jobs.arguments import Arguments
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.postgres import PostgresEngine
from roadworthy.jobs.spec import JobSpec
from roadworthy.telemetry.logging import configure
from roadworthy.telemetry.registry import MetricRegistry

OPTIONS = json.loads(sys.argv[1])


class ElsewhenEngine(PostgresEngine):
    """PostgreSQL, at another time."""

    async def now(self) -> datetime:
        """Return the chosen clock's time."""
        passed = await super().now() - datetime.fromisoformat(OPTIONS["began"])
        return datetime.fromisoformat(OPTIONS["begins"]) + passed * OPTIONS["speed"]


async def tick() -> None:
    """Never run here."""


async def main() -> None:
    """Schedule until SIGTERM."""
    configure("json", "info")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # Its sleeps are in real seconds, of which an hour on a fast clock has few.
    module._LONGEST_SLEEP = 30.0 / OPTIONS["speed"]
    jobs = [
        JobSpec(name, "work", tick, Arguments.of(tick), cron=cron, timezone=OPTIONS["timezone"], missed=missed)
        for name, (cron, missed) in OPTIONS["schedules"].items()
    ]
    pool = await Pool.open(OPTIONS["dsn"], DatabaseSpec("main", pool=(1, 3)), application_name=OPTIONS["name"])
    async with pool:
        engine = ElsewhenEngine(pool, OPTIONS["dsn"])
        try:
            scheduler = module.Scheduler(
                engine, jobs, [], metrics=MetricRegistry(CATALOGUE), observe_every=timedelta(hours=1)
            )
            await scheduler.run(stop)
        finally:
            await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
