"""What a worker tells of itself, and what is made of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from roadworthy.errors import DatabaseUnavailable
from roadworthy.jobs.engine import ClaimedJob
from roadworthy.jobs.lane import Held, Lane
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.jobs.metrics import CATALOGUE, DURATION_BUCKETS, JOB_DURATION, JOB_WAIT, JOBS_FINISHED
from roadworthy.jobs.presence import Presence
from roadworthy.jobs.spec import QueueSpec
from roadworthy.jobs.workers import QueueReport, counted, quantile, since
from roadworthy.telemetry.registry import MetricRegistry


def test_counts_are_summed_up_by_queue() -> None:
    metrics = MetricRegistry(CATALOGUE)
    for job, seconds in (("send", 0.003), ("send", 0.02), ("sweep", 7.0)):
        metrics.bound(JOB_DURATION).labels("mail", job).observe(seconds)
        metrics.bound(JOBS_FINISHED).labels("mail", job, "succeeded").inc()
    metrics.bound(JOBS_FINISHED).labels("mail", "send", "dead").inc(2)
    metrics.bound(JOB_WAIT).labels("mail").observe(5000)
    metrics.bound(JOB_WAIT).labels("other").observe(1)
    mail, idle = counted(metrics.snapshot(), ["mail", "idle"]).values()
    assert mail.ended == {"succeeded": 3, "dead": 2}
    assert len(mail.runs) == len(DURATION_BUCKETS) + 1
    assert mail.runs[:3] == [1, 1, 2]
    assert mail.runs[-1] == 3
    assert mail.waits[-2:] == [0, 1]
    assert (idle.ended, idle.waits, idle.runs) == ({}, [], [])


def test_a_report_counts_since_the_one_before() -> None:
    before = QueueReport(1, ended={"succeeded": 2}, waits=[1, 2], runs=[])
    now = QueueReport(1, ended={"succeeded": 5, "dead": 1}, waits=[1, 7], runs=[0, 3])
    assert since(now, before) == QueueReport(1, ended={"succeeded": 3, "dead": 1}, waits=[0, 5], runs=[0, 3])
    assert since(now, None) == now


def buckets(*durations: float) -> list[int]:
    return [sum(one <= bound for one in durations) for bound in (*DURATION_BUCKETS, float("inf"))]


@pytest.mark.parametrize(
    ("share", "counts", "seconds"),
    [
        (0.5, [], None),
        (0.5, buckets(), None),
        (0.5, buckets(0.004), 0.0025),
        (0.5, buckets(0.07, 0.07, 0.07, 0.07), 0.075),
        (0.95, buckets(*[0.001] * 90, *[20.0] * 10), 20.0),
        (0.5, buckets(99999.0), 3600.0),
    ],
)
def test_a_quantile_lies_inside_its_bucket(share: float, counts: list[int], seconds: float | None) -> None:
    found = quantile(share, counts)
    assert found == (None if seconds is None else pytest.approx(seconds))


class Deaf(MemoryEngine):
    """An engine that cannot be told anything, for the first two times."""

    refusals = 2

    async def report_worker(self, *given: object, **more: object) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise DatabaseUnavailable("away")
        await super().report_worker(*given, **more)  # type: ignore[arg-type]


async def test_a_worker_tells_what_it_holds_until_it_ends() -> None:
    engine = Deaf()
    lane = Lane(QueueSpec("mail", 3, timedelta(minutes=1), (1, 1), 4, timedelta(seconds=30)))
    lane.running, lane.stuck = 2, 1
    jobs = [ClaimedJob(n, 1, "mail", "send", b"{}", 1, 3, 0.0) for n in range(3)]
    attempts = [Held(job, lane, 0.0, started_at=at) for job, at in zip(jobs, (90.0, 40.0, 0.0), strict=True)]
    presence = Presence(
        engine,
        "mail-1",
        {"mail": lane},
        lambda: attempts,
        MetricRegistry(CATALOGUE),
        lambda: True,
        lambda: False,
        clock=lambda: 100.0,
        every=timedelta(milliseconds=5),
    )
    telling = asyncio.create_task(presence.run())
    async with asyncio.timeout(60):
        while not (told := await engine.operations.workers()):
            await asyncio.sleep(0.002)
    queue = told[0].report.queues["mail"]
    assert (told[0].name, told[0].pid, queue.slots, queue.running, queue.stuck) == (
        "mail-1",
        presence.name.pid,
        4,
        2,
        1,
    )
    # The third has not begun.
    assert [(job.id, job.seconds) for job in told[0].report.longest] == [(1, 60.0), (0, 10.0)]
    telling.cancel()
    await asyncio.wait([telling])
    assert await engine.operations.workers() == []
