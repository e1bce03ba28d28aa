"""A worker in a process of its own on a queue with limits: `python limited_process.py '{"dsn": ..., "name": ...}'`.

Each job notes its effect in the transaction that is also the job's success.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from datetime import timedelta

from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.jobs.arguments import Arguments, UniqueKey
from roadworthy.jobs.current import CURRENT
from roadworthy.jobs.limits import Limit
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.postgres import PostgresEngine
from roadworthy.jobs.spec import JobSpec, QueueSpec
from roadworthy.jobs.worker import Worker
from roadworthy.telemetry.logging import configure
from roadworthy.telemetry.registry import MetricRegistry


async def visit(n: int, site: str, seconds: float) -> None:
    """Be at a site for a while."""
    current = CURRENT.get()
    assert current is not None
    await asyncio.sleep(seconds)
    async with current.exactly_once() as connection:
        await connection.execute("INSERT INTO effects VALUES ($1, $2)", n, site)


async def main() -> None:
    """Work until SIGTERM."""
    configure("json", "info")
    arguments = Arguments.of(visit)
    queue = QueueSpec("sites", lease=timedelta(seconds=OPTIONS["lease"]), concurrency=10)
    job = JobSpec(
        "visit",
        "sites",
        visit,
        arguments,
        limits=(Limit(at_once=1, per="{site}"), Limit(at_once=OPTIONS["at_once"])),
        limit_keys=(UniqueKey("{site}", arguments, "per"),),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await Pool.open(OPTIONS["dsn"], DatabaseSpec("main", pool=(1, 10))) as pool:
        engine = PostgresEngine(pool, OPTIONS["dsn"])
        worker = Worker(engine, [job], [queue], name=OPTIONS["name"], metrics=MetricRegistry(CATALOGUE))
        try:
            await worker.run(stop, timedelta(seconds=5))
        finally:
            await engine.close()


if __name__ == "__main__":
    OPTIONS = json.loads(sys.argv[1])
    asyncio.run(main())
