"""Who works, alike for every engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from roadworthy.jobs.workers import VANISHED_AFTER, LongJob, QueueReport, WorkerName, WorkerReport
from roadworthy.runtime.scratch import ScratchServer

from .engines import Backend, memory_backend, new_job, postgres_backend

REPORT = WorkerReport(
    {"mail": QueueReport(10, 2, 1, 0, {"succeeded": 7}, [1, 2], [3, 4])}, 5.0, [LongJob(3, "mail", "send", 1, 2.5)]
)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "postgres"])
def server(request: pytest.FixtureRequest) -> ScratchServer | None:
    """PostgreSQL, started only for the engine that needs it."""
    if request.param == "memory":
        return None
    started: ScratchServer = request.getfixturevalue("postgres_server")
    return started


@pytest.fixture
async def backend(server: ScratchServer | None) -> AsyncIterator[Backend]:
    if server is None:
        async with memory_backend() as opened:
            yield opened
        return
    async with server.database() as dsn, postgres_backend(dsn) as opened:
        yield opened


async def test_workers_tell_of_themselves_until_they_end(backend: Backend) -> None:
    engine = backend.engine
    second, first = WorkerName("mail-2", "here", 12), WorkerName("mail-1", "here", 11)
    for name, consumes in ((second, True), (first, False), (second, True)):
        await engine.report_worker(name, REPORT, up=HOUR, consumes=consumes)
    one, two = await engine.operations.workers()
    assert (one.name, one.host, one.pid, one.consumes) == ("mail-1", "here", 11, False)
    assert (two.name, two.consumes, two.report) == ("mail-2", True, REPORT)
    assert two.present
    assert timedelta(0) <= two.silent < VANISHED_AFTER
    assert abs(two.seen_at - two.started_at - HOUR) < timedelta(minutes=1)
    await engine.forget_worker(first)
    await engine.forget_worker(first)
    assert [worker.name for worker in await engine.operations.workers()] == ["mail-2"]


async def test_one_that_vanished_is_remembered_for_an_hour(backend: Backend) -> None:
    engine = backend.engine
    await engine.report_worker(WorkerName("gone", "there", 1), REPORT, up=HOUR, consumes=True)
    await backend.advance(timedelta(minutes=2))
    (gone,) = await engine.operations.workers()
    assert not gone.present
    await backend.advance(HOUR)
    await engine.report_worker(WorkerName("new", "there", 1), REPORT, up=HOUR, consumes=True)
    assert [worker.name for worker in await engine.operations.workers()] == ["new"]


async def test_everything_at_a_glance(backend: Backend) -> None:
    engine = backend.engine
    await engine.enqueue([new_job(1), new_job(2, queue="slow", delay=HOUR)])
    await engine.report_worker(WorkerName("mail-1", "here", 11), REPORT, up=HOUR, consumes=True)
    await engine.operations.pause("slow", by="ann", reason="too slow")
    seen = await engine.operations.overview()
    assert list(seen.counts) == await engine.counts()
    assert [count.queue for count in seen.counts] == ["mail", "slow"]
    assert list(seen.pauses) == await engine.operations.pauses()
    (worker,) = await engine.operations.workers()
    assert replace(seen.workers[0], silent=worker.silent) == worker
    assert seen.workers[0].present
    assert abs(await engine.now() - seen.at) < timedelta(minutes=1)
    uncounted = await engine.operations.overview(count=False)
    assert uncounted.counts == ()
    assert len(uncounted.workers) == 1
