"""Jobs that wait for others, alike for every engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from roadworthy.errors import UniqueKeyTaken
from roadworthy.jobs.dead_letters import carry_out, named
from roadworthy.jobs.engine import Bury, Cancelled, ClaimedJob, Done, JobOptions, NewJob, Outcome, Retry
from roadworthy.jobs.flows import Member, NewWorkflow, OnTaken, When, WorkflowState

from .engines import FAILURE, LEASE, Backend, new_job, retry_dead

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def member(n: int, *after: int, when: When = "succeeded", job: NewJob | None = None) -> Member:
    return Member(job or new_job(n), after, when)


async def added(backend: Backend, *members: Member, on_taken: OnTaken = "refuse") -> tuple[int, list[int]]:
    flow, ids = await backend.engine.flows.add(NewWorkflow("import", members, DAY, on_taken))
    return flow, [id or 0 for id in ids]


async def claim(backend: Backend, limit: int = 1000) -> list[ClaimedJob]:
    return await backend.engine.claim("mail", limit=limit, lease=LEASE, worker="w1")


async def ends(backend: Backend, kind: type[Outcome] = Done, only: Sequence[int] | None = None) -> list[int]:
    """Claim what is ready and end it; return the numbers of what was claimed."""
    jobs = await claim(backend)
    outcomes: list[Outcome] = []
    for job in jobs:
        if only is not None and job.id not in only:
            continue
        outcomes.append(Bury(job.id, job.lease, FAILURE) if kind is Bury else Done(job.id, job.lease, b"null"))
    assert await backend.engine.complete(outcomes) == set()
    return [json.loads(job.arguments)["n"] for job in jobs]


async def state(backend: Backend, flow: int) -> WorkflowState:
    found = await backend.engine.flows.workflow(flow)
    assert found is not None
    return found


async def test_each_runs_once_those_before_it_have_succeeded(backend: Backend) -> None:
    flow, _ = await added(backend, member(0), member(1, 0), member(2, 0), member(3, 1, 2), member(4))
    assert (await state(backend, flow)).held == 3
    assert [await ends(backend) for _ in range(4)] == [[0, 4], [1, 2], [3], []]
    found = await state(backend, flow)
    assert (found.total, found.succeeded, found.finished, found.unfinished) == (5, 5, True, 0)
    assert await backend.engine.flows.members(flow) == []


async def test_a_chain_counts_by_state_on_its_way(backend: Backend) -> None:
    flow, _ = await added(backend, member(0), member(1, 0), member(2, 1))
    (job,) = await claim(backend)
    found = await state(backend, flow)
    assert (found.running, found.held, found.ready, found.succeeded, found.finished) == (1, 2, 0, 0, False)
    await backend.engine.complete([Retry(job.id, job.lease, timedelta(0), FAILURE)])
    assert await ends(backend) == [0]
    assert (await state(backend, flow)).succeeded == 1


async def test_two_predecessors_that_end_at_once_let_the_successor_go_once(backend: Backend) -> None:
    await added(backend, *(member(n) for n in range(40)), member(40, *range(40)), member(41, 40))
    jobs = await claim(backend)
    await asyncio.gather(
        *(backend.engine.complete([Done(job.id, job.lease) for job in jobs[part::4]]) for part in range(4))
    )
    assert [await ends(backend) for _ in range(3)] == [[40], [41], []]


async def test_what_waits_for_a_dead_job_stays_held_until_that_one_succeeds(backend: Backend) -> None:
    flow, ids = await added(backend, member(0), member(1, 0), member(2, 0, when="finished"))
    assert await ends(backend, Bury) == [0]
    found = await state(backend, flow)
    assert (found.dead, found.held, found.ready, found.finished) == (1, 1, 1, False)
    assert await ends(backend) == [2]
    assert await ends(backend) == []
    assert await retry_dead(backend.engine, ids[:1]) == 1
    assert [await ends(backend) for _ in range(3)] == [[0], [1], []]
    assert (await state(backend, flow)).succeeded == 3


async def test_a_job_whose_worker_vanished_for_good_lets_go_what_waited_for_its_end(backend: Backend) -> None:
    last = replace(new_job(0), attempts=1)
    await added(backend, member(0, job=last), member(1, 0, when="finished"), member(2, 0))
    assert len(await claim(backend)) == 1
    await backend.advance(LEASE + SECOND)
    assert [one.buried for one in await backend.engine.rescue()] == [True]
    assert await ends(backend) == [1]


@pytest.mark.parametrize("how", ["cancel", "discard", "outcome", "discard dead", "dead letters"])
async def test_without_success_all_that_depends_on_it_is_cancelled(backend: Backend, how: str) -> None:
    flow, ids = await added(
        backend,
        member(0),
        member(1, 0),
        member(2, 1),
        member(3, 2, when="finished"),
        member(4),
        member(5, 2, 4),
    )
    if how == "cancel":
        assert await backend.engine.flows.cancel(ids[:1]) == (4, 0)
    elif how == "discard":
        assert await backend.engine.operations.discard(ids[:1]) == 1
    else:
        jobs = await claim(backend)
        assert [job.id for job in jobs] == [ids[0], ids[4]]
        first = jobs[0]
        if how == "outcome":
            await backend.engine.complete([Cancelled(first.id, first.lease)])
        else:
            await backend.engine.complete([Bury(first.id, first.lease, FAILURE)])
            if how == "dead letters":
                filter = named(ids[:1])
                assert (await carry_out(backend.engine.dead_letters, "discard", filter, who="me")).changed == 1
            else:
                assert await backend.engine.operations.discard(ids[:1]) == 1
        await backend.engine.complete([Done(jobs[1].id, jobs[1].lease)])
    assert sorted([*await ends(backend), *([4] if how not in ("cancel", "discard") else [])]) == [3, 4]
    found = await state(backend, flow)
    assert (found.cancelled, found.succeeded, found.finished) == (4, 2, True)


async def test_a_delay_counts_from_when_the_workflow_was_added(backend: Backend) -> None:
    late = new_job(1, delay=timedelta(minutes=10))
    await added(backend, member(0), member(1, 0, job=late), member(2, 0))
    assert [await ends(backend) for _ in range(2)] == [[0], [2]]
    await backend.advance(timedelta(minutes=11))
    await backend.engine.promote()
    assert await ends(backend) == [1]


async def test_a_held_job_does_not_jump_the_queue_when_it_is_let_go(backend: Backend) -> None:
    await added(backend, member(0), member(1, 0))
    (job,) = await claim(backend)
    await backend.engine.enqueue([new_job(2)])
    await backend.engine.complete([Done(job.id, job.lease)])
    assert await ends(backend) == [2, 1]


async def test_a_member_whose_key_is_taken_is_refused_with_all_the_others(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(9, key="a")])
    with pytest.raises(UniqueKeyTaken, match="on_taken"):
        await added(backend, member(0), member(1, 0, job=new_job(1, key="a")), member(2, job=new_job(2, key="b")))
    assert await ends(backend) == [9]
    await added(backend, member(2, job=new_job(2, key="b")))


async def test_a_member_that_is_skipped_is_not_waited_for(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(9, key="a")])
    flow, ids = await added(
        backend,
        member(0),
        member(1, 0, job=new_job(1, key="a")),
        member(2, 1),
        member(3, 0, 1),
        on_taken="skip",
    )
    assert ids[1] == 0
    found = await state(backend, flow)
    assert (found.total, found.skipped, found.held) == (3, 1, 1)
    assert sorted(await ends(backend)) == [0, 2, 9]
    assert await ends(backend) == [3]


async def test_a_successor_reads_what_its_kept_predecessors_returned(backend: Backend) -> None:
    kept = replace(new_job(0), options=JobOptions(keep=60.0))
    _, ids = await added(backend, member(0, job=kept), member(1), member(2, 0, 1))
    jobs = await claim(backend)
    await backend.engine.complete([Done(job.id, job.lease, b'{"pages":3}') for job in jobs])
    (last,) = await claim(backend)
    (found,) = await backend.engine.flows.predecessors(last.id)
    assert (found.id, found.job, json.loads(found.result)) == (ids[0], "send", {"pages": 3})
    await backend.engine.complete([Done(last.id, last.lease)])
    assert await backend.engine.flows.predecessors(last.id) == []


async def test_a_workflow_is_forgotten_when_its_time_is_over_and_nobody_is_left(backend: Backend) -> None:
    flow, _ = await added(backend, member(0), member(1, 0))
    await backend.advance(2 * DAY)
    await backend.engine.flows.prune()
    assert (await state(backend, flow)).held == 1
    await ends(backend)
    await ends(backend)
    await backend.advance(2 * DAY)
    assert await backend.engine.flows.prune() == 1
    assert await backend.engine.flows.workflow(flow) is None


async def test_an_empty_workflow_has_finished(backend: Backend) -> None:
    flow, ids = await added(backend)
    assert ids == []
    assert (await state(backend, flow)).finished


async def test_a_workflow_wakes_its_queues(backend: Backend) -> None:
    async with backend.engine.listen() as hints:
        await added(backend, member(0), member(1, 0, job=new_job(1, queue="other")))
        async with asyncio.timeout(60):
            assert {await anext(hints), await anext(hints)} == {"mail", "other"}
        (job,) = await claim(backend)
        await backend.engine.complete([Done(job.id, job.lease)])
        async with asyncio.timeout(60):
            while await anext(hints) != "other":
                pass
