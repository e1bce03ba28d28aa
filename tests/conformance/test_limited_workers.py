"""Workers under limits, on both engines: woken for what a limit lets in, since they look by themselves once an hour."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from roadworthy import Limit, Service, per_second
from roadworthy.jobs.engine import Engine
from roadworthy.jobs.enqueue import new_job
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.worker import Worker
from roadworthy.runtime.scratch import ScratchServer
from roadworthy.telemetry.registry import MetricRegistry

from .engines import postgres_backend

HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "postgres"])
def server(request: pytest.FixtureRequest) -> ScratchServer | None:
    """PostgreSQL, started only for the engine that needs it."""
    if request.param == "memory":
        return None
    started: ScratchServer = request.getfixturevalue("postgres_server")
    return started


@pytest.fixture
async def engine(server: ScratchServer | None) -> AsyncIterator[Engine]:
    if server is None:
        # On real time, which rates go by.
        yield MemoryEngine()
        return
    async with server.database() as dsn, postgres_backend(dsn) as opened:
        yield opened.engine


class Visits:
    """A service whose jobs stay at a site for a moment, and note how many are there at once."""

    def __init__(self, *, of_queue: list[Limit] | None = None, of_job: list[Limit] | None = None) -> None:
        self.service = Service("shop")
        self.there: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.ran: list[int] = []
        queue = self.service.queue("sites", limits=of_queue or [], concurrency=8)

        @queue.job(limits=of_job or [])
        async def visit(n: int, site: str) -> None:
            for place in (site, "anywhere"):
                self.there[place] += 1
                self.most[place] = max(self.most[place], self.there[place])
            await asyncio.sleep(0.01)
            self.ran.append(n)
            self.there.subtract([site, "anywhere"])

    async def enqueue(self, engine: Engine, count: int, sites: int = 1) -> None:
        (spec,) = self.service.spec.jobs
        await engine.enqueue([new_job(spec, spec.arguments.bind(n, f"site {n % sites}")) for n in range(count)])

    @asynccontextmanager
    async def worked_on(self, engine: Engine, workers: int = 2) -> AsyncIterator[None]:
        spec, stop = self.service.spec, asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for n in range(workers):
                metrics = MetricRegistry(CATALOGUE)
                worker = Worker(engine, spec.jobs, spec.queues, name=f"w{n}", metrics=metrics, poll=HOUR)
                group.create_task(worker.run(stop, timedelta(seconds=5)))
            yield
            stop.set()

    async def finished(self, engine: Engine) -> None:
        while await engine.counts():
            await asyncio.sleep(0.01)


LIMITS: list[dict[str, Any]] = [
    {"of_job": [Limit(at_once=1, per="{site}")]},
    {"of_queue": [Limit(at_once=1, per="{site}")]},
    {"of_job": [Limit(at_once=3)]},
    {"of_queue": [Limit(at_once=3)]},
    {"of_job": [Limit(at_once=1, per="{site}"), Limit(at_once=3)], "of_queue": [Limit(at_once=2)]},
]


def names() -> Iterator[str]:
    for limits in LIMITS:
        yield " and ".join(
            f"{owner} {limit.at_once} per {limit.per}" for owner, some in limits.items() for limit in some
        )


@pytest.mark.parametrize("limits", LIMITS, ids=names())
async def test_all_jobs_run_and_never_more_at_once_than_declared(engine: Engine, limits: dict[str, Any]) -> None:
    visits = Visits(**limits)
    async with visits.worked_on(engine):
        await visits.enqueue(engine, 40, sites=4)
        await visits.finished(engine)
    assert sorted(visits.ran) == list(range(40))
    for some in limits.values():
        for limit in some:
            places = ["anywhere"] if limit.per is None else [f"site {n}" for n in range(4)]
            assert max(visits.most[place] for place in places) <= limit.at_once


async def test_jobs_of_one_key_run_in_their_order(engine: Engine) -> None:
    visits = Visits(of_job=[Limit(at_once=1, per="{site}")])
    async with visits.worked_on(engine):
        await visits.enqueue(engine, 20)
        await visits.finished(engine)
    assert visits.ran == list(range(20))


@pytest.mark.parametrize(
    "limits", [{"of_job": [Limit(rate=per_second(40))]}, {"of_queue": [Limit(rate=per_second(40))]}]
)
async def test_workers_come_back_when_a_rate_has_room(engine: Engine, limits: dict[str, Any]) -> None:
    visits = Visits(**limits)
    async with visits.worked_on(engine):
        await visits.enqueue(engine, 12)
        await visits.finished(engine)
    assert sorted(visits.ran) == list(range(12))


@pytest.mark.parametrize("job", [None, "visit"])
async def test_workers_come_back_when_a_pause_ends(engine: Engine, job: str | None) -> None:
    visits = Visits()
    await engine.operations.pause("sites", job)
    async with visits.worked_on(engine):
        await visits.enqueue(engine, 5)
        await asyncio.sleep(0.1)
        assert visits.ran == []
        await engine.operations.resume("sites", job)
        await visits.finished(engine)
    assert sorted(visits.ran) == list(range(5))
