"""PostgreSQL and the model side by side again, through random workflows, snoozes, cancellations and unique keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.errors import UniqueKeyTaken
from roadworthy.jobs.engine import Bury, Cancelled, Done, JobOptions, NewJob, Outcome, Postpone, Release, Retry
from roadworthy.jobs.flows import Member, NewWorkflow
from roadworthy.runtime.scratch import ScratchServer

from .engines import FAILURE, Backend, memory_backend, new_job, postgres_backend
from .test_model import Actor

_OPTIONS = (
    JobOptions(),
    JobOptions(),
    JobOptions(keep=40.0),
    JobOptions(unique_while="waiting"),
    JobOptions(unique_while="unresolved"),
    JobOptions(unique_for=40.0, keep=20.0),
)
_TABLES = ("jobs", "job_failures", "dead_jobs", "finished_jobs", "unique_keys", "workflows", "job_edges")

_job = st.tuples(
    st.sampled_from([None, None, "a", "b"]),
    st.sampled_from(range(len(_OPTIONS))),
    st.sampled_from([0, 0, 0, 30]),
    st.integers(1, 2),
)
_enqueue = st.tuples(st.just("enqueue"), st.lists(_job, min_size=1, max_size=4))
_flow = st.tuples(
    st.just("flow"),
    st.tuples(
        st.lists(
            st.tuples(_job, st.sets(st.integers(1, 4), max_size=3), st.sampled_from(["succeeded", "finished"])),
            min_size=1,
            max_size=7,
        ),
        st.sampled_from(["refuse", "skip", "skip"]),
    ),
)
_claim = st.tuples(st.just("claim"), st.integers(1, 4))
_ends = ["done", "done", "done", "release", "retry", "bury", "snooze", "snooze later", "cancelled"]
_complete = st.tuples(
    st.just("complete"),
    st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from(_ends)), min_size=1, max_size=4, unique_by=lambda pair: pair[0]
    ),
)
_numbers = st.lists(st.integers(0, 25), min_size=1, max_size=3)
_drop = st.tuples(st.sampled_from(["cancel", "cancel", "discard all"]), _numbers)
_pass = st.tuples(st.just("advance"), st.sampled_from([1, 31, 61]))
_plain = st.tuples(st.sampled_from(["promote", "rescue", "retry dead", "prune", "sweep"]), st.just(0))
_operations = st.lists(
    st.one_of(_enqueue, _flow, _flow, _claim, _claim, _complete, _complete, _complete, _drop, _pass, _plain),
    max_size=25,
)


class FlowActor(Actor):
    """An actor whose jobs have more to them."""

    flows: tuple[int, ...] = ()

    async def apply(self, name: str, detail: Any) -> Any:
        flows = self.backend.engine.flows
        match name:
            case "flow":
                return await self._add(*detail)
            case "cancel":
                return await flows.cancel(self._ids(detail))
            case "discard all":
                return await self.backend.engine.operations.discard(self._ids(detail))
            case "prune":
                return await flows.prune()
            case "sweep":
                found = await flows.cancellations("w")
                return len(found.running), await flows.cancel(found.waiting)
        return await super().apply(name, detail)

    def _ids(self, numbers: list[int]) -> list[int]:
        return [id for id, number in self.numbers.items() if number in numbers]

    def _job(self, detail: tuple[str | None, int, int, int]) -> NewJob:
        key, options, delay, attempts = detail
        due = timedelta(seconds=delay) if delay else None
        job = new_job(self.added, key=key, attempts=attempts, delay=due)
        self.added += 1
        return replace(job, options=_OPTIONS[options])

    async def _enqueue(self, detail: Any) -> list[bool]:
        jobs = [self._job(one) for one in detail]
        ids = await self.backend.engine.enqueue(jobs)
        return self._note(jobs, ids)

    async def _add(self, detail: Any, on_taken: Any) -> Any:
        members = []
        for index, (job, back, when) in enumerate(detail):
            after = sorted({index - step for step in back if index >= step})
            members.append(Member(self._job(job), after, when))
        try:
            flow, ids = await self.backend.engine.flows.add(
                NewWorkflow("flow", members, timedelta(seconds=50), on_taken)
            )
        except UniqueKeyTaken:
            return "taken"
        self.flows += (flow,)
        return self._note([member.job for member in members], ids)

    def _note(self, jobs: list[NewJob], ids: list[int | None]) -> list[bool]:
        for job, id in zip(jobs, ids, strict=True):
            if id is not None:
                self.numbers[id] = json.loads(job.arguments)["n"]
        return [id is not None for id in ids]

    async def _complete(self, detail: list[tuple[int, str]]) -> list[int]:
        outcomes: dict[int, Outcome] = {}
        for index, kind in detail:
            if index >= len(self.holdings):
                continue
            job = self.holdings[index]
            made: dict[str, Outcome] = {
                "done": Done(job.id, job.lease, b"1"),
                "release": Release(job.id, job.lease),
                "retry": Retry(job.id, job.lease, timedelta(0), FAILURE),
                "bury": Bury(job.id, job.lease, FAILURE),
                "snooze": Postpone(job.id, job.lease, timedelta(0)),
                "snooze later": Postpone(job.id, job.lease, timedelta(seconds=30)),
                "cancelled": Cancelled(job.id, job.lease),
            }
            outcomes[job.id] = made[kind]
        # One at a time: what a batch ends together may end in either order.
        fenced = [id for one in outcomes.values() for id in await self.backend.engine.complete([one])]
        return sorted(self.numbers[id] for id in fenced)

    async def state(self) -> list[tuple[Any, ...]]:
        engine = self.backend.engine
        more = [
            (record.snoozes, record.cancel_requested_at is not None, record.result, record.workflow is not None)
            for record in await engine.operations.jobs(limit=1000)
        ]
        states = [await engine.flows.workflow(id) for id in self.flows]
        counted = [None if one is None else replace(one, id=0, added_at=None) for one in states]  # type: ignore[arg-type]
        return [*await super().state(), *more, *counted]  # type: ignore[list-item]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def postgres(runner: asyncio.Runner, postgres_server: ScratchServer) -> Iterator[Backend]:
    stack = AsyncExitStack()

    async def start() -> Backend:
        dsn = await stack.enter_async_context(postgres_server.database())
        return await stack.enter_async_context(postgres_backend(dsn))

    yield runner.run(start())
    runner.run(stack.aclose())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operations=_operations)
def test_postgresql_does_what_the_model_does(
    runner: asyncio.Runner, postgres: Backend, operations: list[tuple[str, Any]]
) -> None:
    async def compare() -> None:
        engine: Any = postgres.engine
        tables = ", ".join(f"roadworthy.{table}" for table in _TABLES)
        await engine._pool.execute(f"TRUNCATE {tables} RESTART IDENTITY")
        async with memory_backend() as memory:
            model, subject = FlowActor(memory), FlowActor(postgres)
            for name, detail in operations:
                assert await subject.apply(name, detail) == await model.apply(name, detail), (name, detail)
                assert await subject.state() == await model.state(), (name, detail)
        left = await engine._pool.fetchval(
            "SELECT count(*) FROM roadworthy.job_edges AS edge WHERE NOT met AND NOT EXISTS ("
            "SELECT FROM roadworthy.jobs WHERE id = edge.predecessor UNION ALL "
            "SELECT FROM roadworthy.dead_jobs WHERE id = edge.predecessor)"
        )
        assert left == 0, "an edge that nobody will ever meet"

    runner.run(compare())
