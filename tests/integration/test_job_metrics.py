"""What a worker and a scheduler at work export: each metric of jobs moves when its subject does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from roadworthy import Backoff, Service, seconds
from roadworthy.catalogue import catalogue
from roadworthy.database.pool import Pool
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.postgres import PostgresEngine
from roadworthy.jobs.scheduler import Scheduler
from roadworthy.jobs.worker import Worker
from roadworthy.telemetry.registry import MetricRegistry
from schema import create_job_tables

LEASE = seconds(1)
service = Service("metered")
mail = service.queue("mail", attempts=2, lease=LEASE, backoff=Backoff(base=seconds(0.01)))


@mail.job()
async def send(fail: int = 0) -> None:
    """Fail for the first `fail` attempts."""
    from roadworthy import current_job

    job = current_job()
    if job is not None and job.attempt <= fail:
        raise ConnectionError("refused")


@mail.job()
async def wait() -> None:
    await asyncio.sleep(20)


class Scene:
    """An engine, and the metrics of whoever works on it."""

    def __init__(self, pool: Pool, engine: PostgresEngine, metrics: MetricRegistry) -> None:
        self.pool, self.engine, self.metrics = pool, engine, metrics

    def value(self, series: str, **labels: str) -> float:
        return self.metrics.value(series, {"queue": "mail", **labels}) or 0.0

    def heartbeat(self) -> float:
        return self.metrics.value("worker_heartbeat_timestamp_seconds", {"worker": "worker"}) or 0.0

    def ended(self, outcome: str, job: str = "send") -> float:
        return self.value("jobs_finished_total", job=job, outcome=outcome)

    async def until(self, condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
        async with asyncio.timeout(60):
            while not (await found if isinstance(found := condition(), Awaitable) else found):
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        spec = service.spec
        worker = Worker(
            self.engine,
            spec.jobs,
            spec.queues,
            name="worker-host-4711",
            series="worker",
            metrics=self.metrics,
            poll=timedelta(milliseconds=50),
        )
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop, timedelta(seconds=0.2)))
        try:
            yield worker
        finally:
            stop.set()
            await running


@pytest.fixture
async def scene(dsn: str, pool: Pool) -> AsyncIterator[Scene]:
    await create_job_tables(pool)
    registry = MetricRegistry(CATALOGUE)
    engine = PostgresEngine(pool, dsn, metrics=registry)
    yield Scene(pool, engine, registry)
    await engine.close()


def job(name: str = "send", arguments: bytes = b"{}") -> NewJob:
    return NewJob("mail", name, arguments, 2)


async def test_attempts_are_counted_by_how_they_end_and_timed(scene: Scene) -> None:
    await scene.engine.enqueue([job(), job(arguments=b'{"fail": 1}'), job(arguments=b'{"fail": 9}')])
    assert scene.value("jobs_enqueued_total", job="send") == 3
    async with scene.worker():
        await scene.until(lambda: scene.ended("dead") == 1 and scene.ended("succeeded") == 2, "three ends")
    assert scene.ended("retried") == 2
    assert scene.value("job_duration_seconds_count", job="send") == 5
    assert scene.value("job_wait_seconds_count") == 5
    assert 0 < scene.value("job_wait_seconds_sum") < 5 * 20
    assert scene.value("job_wait_seconds_bucket", le="60.0") == 5


async def test_a_drain_counts_what_it_gives_back(scene: Scene) -> None:
    await scene.engine.enqueue([job("wait")])
    async with scene.worker():
        await scene.until(lambda: scene.value("job_wait_seconds_count") == 1, "a claim")
    assert scene.ended("released", "wait") == 1


async def test_a_lost_lease_is_fenced_and_a_vanished_worker_s_job_is_rescued(scene: Scene) -> None:
    await scene.engine.enqueue([job("wait")])
    async with scene.worker():
        await scene.until(lambda: scene.value("job_wait_seconds_count") == 1, "a claim")
        # Whoever takes the job away, the worker is told when it renews the lease.
        await scene.pool.execute("UPDATE roadworthy.jobs SET lease = lease + 1, worker = 'gone'")
        await scene.until(lambda: scene.ended("fenced", "wait") == 1, "the loss is noticed")
        await scene.until(lambda: scene.value("jobs_rescued_total") == 1, "the rescue")
    await scene.pool.execute("DELETE FROM roadworthy.jobs")

    await scene.engine.enqueue([job()])
    await scene.engine.claim("mail", limit=1, lease=timedelta(0), worker="dead")
    await scene.pool.execute("UPDATE roadworthy.jobs SET attempt = attempts")
    async with scene.worker():
        await scene.until(lambda: scene.value("jobs_rescued_total") == 2, "the rescue")
    assert scene.ended("dead") == 1


async def test_the_heartbeat_is_one_series_however_often_workers_begin(scene: Scene) -> None:
    beat = 0.0
    for _ in range(2):
        before = beat
        async with scene.worker():
            async with asyncio.timeout(60):
                while (beat := scene.heartbeat()) <= before:
                    await asyncio.sleep(0.01)
    (family,) = (one for one in scene.metrics.snapshot().families if one.name == "worker_heartbeat_timestamp_seconds")
    assert [sample.labels for sample in family.samples] == [(("worker", "worker"),)]


async def test_the_queues_are_counted_by_state(scene: Scene) -> None:
    await scene.engine.enqueue([job() for _ in range(4)])
    await scene.engine.enqueue([NewJob("mail", "send", b"{}", 1, delay=timedelta(hours=1))])
    await scene.engine.claim("mail", limit=1, lease=timedelta(0), worker="w")
    await scene.pool.execute("UPDATE roadworthy.jobs SET attempt = attempts WHERE state = 2")
    await scene.engine.rescue()
    await scene.engine.claim("mail", limit=1, lease=timedelta(minutes=1), worker="w")
    spec = service.spec
    scheduler = Scheduler(scene.engine, spec.jobs, spec.queues, metrics=scene.metrics)
    await scheduler.observe()
    assert [scene.value(f"queue_{state}") for state in ("ready", "running", "scheduled", "dead")] == [2, 1, 1, 1]
    now = (await scene.engine.now()).timestamp()
    assert now - 60 < scene.value("queue_oldest_ready_timestamp_seconds") <= now
    await scene.engine.operations.discard([record.id for record in await scene.engine.operations.jobs(state="ready")])
    since = scene.value("queue_oldest_ready_timestamp_seconds")
    await scheduler.observe()
    assert scene.value("queue_ready") == 0
    assert scene.value("queue_oldest_ready_timestamp_seconds") > since


def test_the_checks_know_every_metric_of_jobs() -> None:
    known = {metric.name for metric in catalogue(service.spec)}
    assert {metric.name for metric in CATALOGUE} <= known
