"""The service that `benchmarks.scaling` scales; its jobs leave a row when they begin and another when they end."""

from __future__ import annotations

import asyncio
import os
import time

from roadworthy import Resources, Scaling, Service, current_job, hours, scale_down, seconds

WINDOW = seconds(float(os.environ.get("BENCHMARK_WINDOW", "300")))

service = Service("scaled-for-the-benchmark")
database = service.database()
waiting = service.queue("burst", workers=(2, 8), concurrency=2, target_latency=seconds(10), scale_in_after=WINDOW)
computing = service.queue(
    "computing",
    workers=(1, 3),
    concurrency=1,
    target_latency=hours(1),
    scaling=Scaling(cpu=50, requests=Resources(cpu=0.2), down=scale_down(window=seconds(30))),
)


async def note(what: str) -> None:
    """Leave a row."""
    job = current_job()
    assert job is not None
    await database.execute("INSERT INTO effects (job, attempt, what) VALUES ($1, $2, $3)", job.id, job.attempt, what)


@waiting.job(attempts=1)
async def wait(duration: float) -> None:
    """Take a while, at no cost."""
    await note("begun")
    await asyncio.sleep(duration)
    await note("ended")


@computing.job(attempts=1)
async def compute(duration: float, share: float) -> None:
    """Take a while, and a share of a processor meanwhile."""
    await note("begun")
    end = time.monotonic() + duration
    while time.monotonic() < end:
        began = time.process_time()
        while time.process_time() - began < 0.05 * share:
            pass
        await asyncio.sleep(0.05 * (1 - share))
    await note("ended")
