"""PostgreSQL and the model side by side, through sequences of operations that nobody thought of.

Jobs are told apart by the number in their arguments, because the engines number them differently.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.jobs.engine import Bury, ClaimedJob, Done, NewJob, Outcome, Release, Retry
from roadworthy.runtime.scratch import ScratchServer

from .engines import FAILURE, LEASE, Backend, memory_backend, new_job, postgres_backend, retry_dead

_enqueue = st.tuples(
    st.just("enqueue"),
    st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from([None, None, "a", "b"]), st.sampled_from([0, 0, 30]), st.integers(1, 3)
        ),
        min_size=1,
        max_size=4,
    ),
)
_claim = st.tuples(st.just("claim"), st.integers(1, 4))
_complete = st.tuples(
    st.just("complete"),
    st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from(["done", "release", "retry", "retry later", "bury"])),
        min_size=1,
        max_size=3,
        unique_by=lambda pair: pair[0],
    ),
)
_beat = st.tuples(st.just("heartbeat"), st.integers(0, 20))
_pass = st.tuples(st.just("advance"), st.sampled_from([1, 31, 61]))
_plain = st.tuples(st.sampled_from(["promote", "rescue", "retry dead"]), st.just(0))
_discard = st.tuples(st.just("discard"), st.integers(0, 20))
_operations = st.lists(
    st.one_of(_enqueue, _claim, _claim, _complete, _complete, _beat, _pass, _plain, _discard), max_size=25
)


@dataclass
class Actor:
    """One engine going through the operations, remembering every holding it was ever given."""

    backend: Backend
    numbers: dict[int, int] = field(default_factory=dict)
    holdings: list[ClaimedJob] = field(default_factory=list)
    added: int = 0

    async def apply(self, name: str, detail: Any) -> Any:
        engine = self.backend.engine
        match name:
            case "enqueue":
                return await self._enqueue(detail)
            case "claim":
                claimed = await engine.claim("mail", limit=detail, lease=LEASE, worker="w")
                for job in claimed:
                    assert all(job.lease > old.lease for old in self.holdings if old.id == job.id)
                self.holdings += claimed
                return [(self.numbers[job.id], job.attempt) for job in claimed]
            case "complete":
                return await self._complete(detail)
            case "heartbeat":
                held = [(job.id, job.lease) for job in self.holdings[detail : detail + 3]]
                lost = await engine.heartbeat(held, lease=LEASE)
                return sorted(self.numbers[id] for id in lost)
            case "advance":
                return await self.backend.advance(timedelta(seconds=detail))
            case "promote":
                due = await engine.promote()
                return due if due is None else due > timedelta(0)
            case "rescue":
                return sorted((self.numbers[one.id], one.attempt, one.buried) for one in await engine.rescue())
            case "retry dead":
                return await retry_dead(
                    engine, [record.id for record in reversed(await engine.operations.jobs(state="dead"))]
                )
            case "discard":
                ids = [id for id, number in self.numbers.items() if number == detail]
                return await engine.operations.discard(ids)
        raise AssertionError(name)

    async def _enqueue(self, detail: list[tuple[int, str | None, int, int]]) -> list[bool]:
        jobs: list[NewJob] = []
        for priority, key, delay, attempts in detail:
            due = timedelta(seconds=delay) if delay else None
            jobs.append(new_job(self.added + len(jobs), priority=priority, key=key, delay=due, attempts=attempts))
        ids = await self.backend.engine.enqueue(jobs)
        self.numbers |= {id: self.added + n for n, id in enumerate(ids) if id is not None}
        self.added += len(jobs)
        return [id is not None for id in ids]

    async def _complete(self, detail: list[tuple[int, str]]) -> list[int]:
        outcomes: dict[int, Outcome] = {}
        for index, kind in detail:
            if index >= len(self.holdings):
                continue
            job = self.holdings[index]
            later = timedelta(seconds=30 if kind == "retry later" else 0)
            made: dict[str, Outcome] = {
                "done": Done(job.id, job.lease),
                "release": Release(job.id, job.lease),
                "bury": Bury(job.id, job.lease, FAILURE),
            }
            outcomes[job.id] = made.get(kind) or Retry(job.id, job.lease, later, FAILURE)
        return sorted(self.numbers[id] for id in await self.backend.engine.complete(list(outcomes.values())))

    async def state(self) -> list[tuple[Any, ...]]:
        return [
            (
                json.loads(record.arguments)["n"],
                record.state,
                record.attempt,
                record.attempts,
                record.priority,
                record.unique_key,
                [(failure["attempt"], failure["error_class"]) for failure in record.failures],
            )
            for record in await self.backend.engine.operations.jobs(limit=1000)
        ]


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


@pytest.mark.parametrize("cheap", [3600.0, -1.0], ids=["claims from the beginning", "claims from the frontier"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operations=_operations)
def test_postgresql_does_what_the_model_does(
    runner: asyncio.Runner, postgres: Backend, cheap: float, operations: list[tuple[str, Any]]
) -> None:
    async def compare() -> None:
        engine: Any = postgres.engine
        engine._frontiers.clear()
        await engine._pool.execute("TRUNCATE roadworthy.jobs, roadworthy.job_failures, roadworthy.dead_jobs")
        async with memory_backend() as memory:
            model, subject = Actor(memory), Actor(postgres)
            for name, detail in operations:
                assert await subject.apply(name, detail) == await model.apply(name, detail), (name, detail)
                assert await subject.state() == await model.state(), (name, detail)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("roadworthy.jobs.frontier._CHEAP", cheap)
        patch.setattr("roadworthy.jobs.frontier._DEAR", 3600.0)
        runner.run(compare())
