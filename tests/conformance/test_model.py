"""PostgreSQL and the model side by side, through sequences of operations that nobody thought of.

Jobs are told apart by the number in their arguments, because the engines number them differently.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.jobs.engine import Bury, ClaimedJob, Done, NewJob, Outcome, Release, Retry
from roadworthy.jobs.limits import LimitRule
from roadworthy.runtime.scratch import ScratchServer

from .engines import FAILURE, LEASE, Backend, memory_backend, new_job, postgres_backend, retry_dead

_enqueue = st.tuples(
    st.just("enqueue"),
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([None, None, "a", "b"]),
            st.sampled_from([0, 0, 30]),
            st.integers(1, 3),
            st.sampled_from(["ann", "bob", None]),
            st.sampled_from(["send", "sweep"]),
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
_pause = st.tuples(
    st.sampled_from(["pause", "resume"]), st.sampled_from([("mail", None), ("mail", "send"), ("other", None)])
)
_limit = st.tuples(st.sampled_from(["limit", "mend"]), st.integers(0, 5))
_operations = st.lists(
    st.one_of(_enqueue, _claim, _claim, _complete, _complete, _beat, _pass, _plain, _discard, _pause, _limit),
    max_size=25,
)


_PER_USER = LimitRule("job:send:at_once:{user}", "send", "{user}", 1, None, None)
_PER_ANYONE = LimitRule("queue:mail:at_once:{user}", None, "{user}", 2, None, None)
_RATE = LimitRule("job:sweep:rate/60s", "sweep", None, None, timedelta(seconds=30), 2)
_KIND = LimitRule("job:send:at_once", "send", None, 2, None, None)
_QUEUE = LimitRule("queue:mail:at_once", None, None, 4, None, None)
_RULES: tuple[Sequence[LimitRule], ...] = (
    (),
    (_PER_USER, _KIND),
    (_PER_ANYONE, _RATE, replace(_KIND, at_once=1)),
    (_PER_USER, _PER_ANYONE, _QUEUE),
    (_PER_USER, _RATE, _KIND, _QUEUE),
    (replace(_RATE, spacing=timedelta(seconds=10), burst=1), replace(_QUEUE, at_once=2)),
)


@dataclass
class Actor:
    """One engine going through the operations, remembering every holding it was ever given."""

    backend: Backend
    numbers: dict[int, int] = field(default_factory=dict)
    holdings: list[ClaimedJob] = field(default_factory=list)
    added: int = 0
    rules: Sequence[LimitRule] = ()

    async def apply(self, name: str, detail: Any) -> Any:
        engine = self.backend.engine
        match name:
            case "enqueue":
                return await self._enqueue(detail)
            case "claim":
                claimed = await engine.claim("mail", limit=detail, lease=LEASE, worker="w", limits=self.rules)
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
        return await self._govern(name, detail)

    async def _govern(self, name: str, detail: Any) -> Any:
        engine = self.backend.engine
        match name:
            case "pause":
                return await engine.operations.pause(*detail)
            case "resume":
                return await engine.operations.resume(*detail)
            case "limit":
                self.rules = _RULES[detail]
                return None
            case "mend":
                return await engine.mend(["mail"], self.rules)
        raise AssertionError(name)

    async def _enqueue(self, detail: list[tuple[int, str | None, int, int, str | None, str]]) -> list[bool]:
        jobs: list[NewJob] = []
        for priority, key, delay, attempts, user, job in detail:
            jobs.append(
                new_job(
                    self.added + len(jobs),
                    job=job,
                    priority=priority,
                    key=key,
                    delay=timedelta(seconds=delay) if delay else None,
                    attempts=attempts,
                    limit_keys={"{user}": f'["{user}"]'} if user else None,
                )
            )
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
                record.blocked_by,
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
        await engine._pool.execute(
            "TRUNCATE roadworthy.jobs, roadworthy.job_failures, roadworthy.dead_jobs, roadworthy.job_limits, "
            "roadworthy.job_pauses"
        )
        async with memory_backend() as memory:
            model, subject = Actor(memory), Actor(postgres)
            for name, detail in operations:
                assert await subject.apply(name, detail) == await model.apply(name, detail), (name, detail)
                assert await subject.state() == await model.state(), (name, detail)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("roadworthy.jobs.frontier._CHEAP", cheap)
        patch.setattr("roadworthy.jobs.frontier._DEAR", 3600.0)
        runner.run(compare())
