"""A worker in a process of its own, for tests to stop, kill and mislead: `python worker_process.py '{"dsn": ...}'`.

The function's effects go to a table, so that a test sees who did what, and in which attempt.
"""

import datetime
import json
import sys
import time

OPTIONS = json.loads(sys.argv[1])

if OPTIONS.get("skew_seconds"):
    # Before anything else is imported, so that every user of the clock is misled.
    _time, _datetime, _skew = time.time, datetime.datetime, OPTIONS["skew_seconds"]

    class _Skewed(_datetime):
        __slots__ = ()

        @classmethod
        def now(cls, tz=None):  # type: ignore[no-untyped-def]
            return _datetime.now(tz) + datetime.timedelta(seconds=_skew)

    time.time = lambda: _time() + _skew
    datetime.datetime = _Skewed  # type: ignore[misc]

import asyncio  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
from datetime import timedelta  # noqa: E402

from roadworthy.database.pool import Pool  # noqa: E402
from roadworthy.database.spec import DatabaseSpec  # noqa: E402
from roadworthy.jobs.arguments import Arguments  # noqa: E402
from roadworthy.jobs.current import current_job  # noqa: E402
from roadworthy.jobs.metrics import CATALOGUE  # noqa: E402
from roadworthy.jobs.postgres import PostgresEngine  # noqa: E402
from roadworthy.jobs.spec import Backoff, JobSpec, QueueSpec  # noqa: E402
from roadworthy.jobs.worker import Worker  # noqa: E402
from roadworthy.telemetry.logging import configure  # noqa: E402
from roadworthy.telemetry.registry import MetricRegistry  # noqa: E402


async def main() -> None:
    """Work on the queue "work" until SIGTERM."""
    configure("json", "info")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await Pool.open(OPTIONS["dsn"], DatabaseSpec("main", pool=(1, 3))) as pool:

        async def note(n: int, what: str) -> None:
            job = current_job()
            attempt = 0 if job is None else job.attempt
            await pool.execute(
                "INSERT INTO effects (n, what, attempt, worker) VALUES ($1, $2, $3, $4)",
                n,
                what,
                attempt,
                OPTIONS["name"],
            )

        async def quick(n: int) -> None:
            await note(n, "done")

        async def slow(n: int, seconds: float) -> None:
            await note(n, "begun")
            await asyncio.sleep(seconds)
            await note(n, "done")

        async def blocking(n: int, seconds: float) -> None:
            await note(n, "begun")
            time.sleep(seconds)  # noqa: ASYNC251

        async def poison(n: int) -> None:
            await note(n, "begun")
            os._exit(9)

        functions = (quick, slow, blocking, poison)
        queue = QueueSpec(
            "work",
            lease=timedelta(seconds=OPTIONS.get("lease", 1.0)),
            concurrency=OPTIONS.get("concurrency", 10),
            backoff=Backoff(base=timedelta(seconds=0.1)),
        )
        jobs = [JobSpec(function.__name__, "work", function, Arguments.of(function)) for function in functions]
        engine = PostgresEngine(pool, OPTIONS["dsn"])
        worker = Worker(engine, jobs, [queue], name=OPTIONS["name"], metrics=MetricRegistry(CATALOGUE))
        try:
            await worker.run(stop, timedelta(seconds=OPTIONS.get("grace", 5.0)))
        finally:
            await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
