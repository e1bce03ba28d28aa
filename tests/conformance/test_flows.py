"""Snoozes, unique keys that outlast their jobs, results, progress, cancellation and pruning, alike for every engine."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from roadworthy.jobs.engine import (
    Bury,
    Cancelled,
    ClaimedJob,
    Done,
    JobOptions,
    NewJob,
    Postpone,
    Release,
    Retry,
)
from roadworthy.jobs.operations import JobRecord

from .engines import FAILURE, LEASE, Backend, new_job, retry_dead

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def special(n: int = 0, *, key: str | None = None, attempts: int = 3, **options: Any) -> NewJob:
    return replace(new_job(n, key=key, attempts=attempts), options=JobOptions(**options))


async def added(backend: Backend, job: NewJob) -> int:
    (id,) = await backend.engine.enqueue([job])
    assert id is not None
    return id


async def claim(backend: Backend, limit: int = 10) -> list[ClaimedJob]:
    return await backend.engine.claim("mail", limit=limit, lease=LEASE, worker="w1")


async def record(backend: Backend, id: int) -> JobRecord:
    found = await backend.engine.operations.find(id)
    assert found is not None
    return found


async def test_a_snoozed_job_comes_back_later_and_no_attempt_counts(backend: Backend) -> None:
    id = await added(backend, new_job(1, attempts=1))
    for times in (1, 2):
        (job,) = await claim(backend)
        assert (job.attempt, job.options.snoozes) == (1, times - 1)
        assert await backend.engine.complete([Postpone(job.id, job.lease, 10 * SECOND)]) == set()
        found = await record(backend, id)
        assert (found.state, found.attempt, found.snoozes, found.failures) == ("scheduled", 0, times, ())
        assert await claim(backend) == []
        await backend.advance(11 * SECOND)
        await backend.engine.promote()
    (job,) = await claim(backend)
    assert await backend.engine.complete([Postpone(job.id, job.lease - 1, SECOND)]) == {id}
    assert await backend.engine.complete([Done(job.id, job.lease)]) == set()


async def test_a_snooze_of_nothing_is_ready_at_once_and_keeps_earlier_failures(backend: Backend) -> None:
    id = await added(backend, special(1, limit_keys={"{a}": "k"}))
    (job,) = await claim(backend)
    await backend.engine.complete([Retry(job.id, job.lease, timedelta(0), FAILURE)])
    (job,) = await claim(backend)
    await backend.engine.complete([Postpone(job.id, job.lease, timedelta(0))])
    (job,) = await claim(backend)
    assert (job.attempt, job.options.snoozes, job.options.limit_keys) == (2, 1, {"{a}": "k"})
    assert len((await record(backend, id)).failures) == 1


async def test_a_key_for_the_waiting_is_free_from_the_claim_on(backend: Backend) -> None:
    waiting = special(1, key="a", unique_while="waiting")
    await added(backend, waiting)
    assert await backend.engine.enqueue([waiting]) == [None]
    (job,) = await claim(backend)
    second = await added(backend, waiting)
    assert await backend.engine.enqueue([waiting]) == [None]
    await backend.engine.complete([Release(job.id, job.lease)])
    assert {one.id for one in await claim(backend)} == {job.id, second}


async def test_a_key_of_the_unresolved_is_held_by_a_dead_job_until_it_succeeds(backend: Backend) -> None:
    job = special(1, key="a", attempts=1, unique_while="unresolved")
    id = await added(backend, job)
    (held,) = await claim(backend)
    await backend.engine.complete([Bury(held.id, held.lease, FAILURE)])
    assert await backend.engine.enqueue([job]) == [None]
    assert await backend.engine.flows.prune() == 0
    assert await backend.engine.enqueue([job]) == [None]
    assert await retry_dead(backend.engine, [id]) == 1
    (held,) = await claim(backend)
    assert await backend.engine.enqueue([job]) == [None]
    await backend.engine.complete([Done(held.id, held.lease)])
    await added(backend, job)


@pytest.mark.parametrize("end", ["discard", "cancel"])
async def test_a_key_of_the_unresolved_is_free_when_the_job_is_dropped(backend: Backend, end: str) -> None:
    job = special(1, key="a", attempts=1, unique_while="unresolved")
    id = await added(backend, job)
    if end == "cancel":
        assert await backend.engine.flows.cancel([id]) == (1, 0)
    else:
        (held,) = await claim(backend)
        await backend.engine.complete([Bury(held.id, held.lease, FAILURE)])
        assert await backend.engine.operations.discard([id]) == 1
    await added(backend, job)


@pytest.mark.parametrize("end", ["done", "dead"])
async def test_a_window_holds_the_key_after_the_end(backend: Backend, end: str) -> None:
    job = special(1, key="a", unique_for=600.0)
    await added(backend, job)
    (held,) = await claim(backend)
    await backend.engine.complete([Done(held.id, held.lease) if end == "done" else Bury(held.id, held.lease, FAILURE)])
    await backend.advance(9 * MINUTE)
    assert await backend.engine.enqueue([job, special(2, key="b", unique_for=600.0)]) != [None, None]
    assert await backend.engine.enqueue([job]) == [None]
    await backend.advance(2 * MINUTE)
    await added(backend, job)
    assert await backend.engine.enqueue([job]) == [None]


async def test_a_window_that_passed_is_not_prolonged_by_those_who_were_refused(backend: Backend) -> None:
    job = special(1, key="a", unique_for=60.0)
    await added(backend, job)
    await backend.advance(2 * MINUTE)
    assert await backend.engine.enqueue([job]) == [None], "it is alive still"
    (held,) = await claim(backend)
    await backend.engine.complete([Done(held.id, held.lease)])
    await added(backend, job)


async def test_of_twins_in_one_batch_the_first_is_added(backend: Backend) -> None:
    job = special(1, key="a", unique_for=60.0)
    first, second, plain = await backend.engine.enqueue([job, job, new_job(3)])
    assert (first is None, second is None, plain is None) == (False, True, False)


async def test_only_one_of_many_at_once_takes_a_key_that_outlasts_its_job(backend: Backend) -> None:
    jobs = [special(n, key=f"key-{n % 5}", unique_for=60.0) for n in range(20)]
    batches = await asyncio.gather(*(backend.engine.enqueue(jobs if n % 2 else jobs[::-1]) for n in range(8)))
    assert sum(id is not None for batch in batches for id in batch) == 5


async def test_windows_are_pruned_when_they_are_over(backend: Backend) -> None:
    await backend.engine.enqueue([special(n, key=f"{n}", unique_for=60.0) for n in range(5)])
    assert await backend.engine.flows.prune() == 0
    await backend.advance(2 * MINUTE)
    assert [await backend.engine.flows.prune(limit=3) for _ in range(3)] == [3, 2, 0]


async def test_a_kept_job_is_found_with_its_result_until_its_time_is_over(backend: Backend) -> None:
    id = await added(backend, special(7, keep=3600.0))
    plain = await added(backend, new_job(8))
    for job in await claim(backend):
        await backend.engine.complete([Done(job.id, job.lease, b'{"sum":3}')])
    found = await record(backend, id)
    assert (found.state, found.attempt, json.loads(found.arguments)) == ("succeeded", 1, {"n": 7})
    assert json.loads(found.result or b"") == {"sum": 3}
    assert await backend.engine.operations.find(plain) is None
    outcome = await backend.engine.flows.outcome(id)
    assert outcome is not None
    assert (outcome.job, outcome.state, json.loads(outcome.result or b"")) == ("send", "succeeded", {"sum": 3})
    assert [one.id for one in await backend.engine.operations.jobs(state="succeeded")] == [id]
    assert await backend.engine.operations.jobs(state="cancelled") == []
    assert await backend.engine.counts() == []
    assert await backend.engine.flows.prune() == 0
    await backend.advance(timedelta(hours=2))
    assert await backend.engine.flows.prune() == 1
    assert await backend.engine.flows.outcome(id) is None


async def test_an_outcome_tells_where_a_job_has_got_to(backend: Backend) -> None:
    async def state(id: int) -> str | None:
        outcome = await backend.engine.flows.outcome(id)
        return None if outcome is None else outcome.state

    id = await added(backend, special(1, keep=60.0, attempts=1))
    later = await added(backend, new_job(2, delay=MINUTE))
    assert [await state(id), await state(later), await state(10**9)] == ["ready", "scheduled", None]
    (job,) = await claim(backend)
    assert await state(id) == "running"
    await backend.engine.complete([Bury(job.id, job.lease, FAILURE)])
    outcome = await backend.engine.flows.outcome(id)
    assert outcome is not None
    assert (outcome.state, outcome.error_class, outcome.message) == ("dead", "ValueError", "no")


async def test_progress_is_written_by_the_holder_alone(backend: Backend) -> None:
    id = await added(backend, special(1, keep=60.0))
    (job,) = await claim(backend)
    assert await backend.engine.flows.progress(id, job.lease, b'{"done":1}')
    assert not await backend.engine.flows.progress(id, job.lease - 1, b'{"done":2}')
    assert json.loads((await record(backend, id)).progress or b"") == {"done": 1}
    await backend.engine.complete([Done(job.id, job.lease, b"null")])
    assert json.loads((await record(backend, id)).progress or b"") == {"done": 1}


async def test_waiting_jobs_are_cancelled_at_once_and_kept_as_that_where_they_are_kept(backend: Backend) -> None:
    kept = await added(backend, special(1, keep=60.0, key="a"))
    gone = await added(backend, new_job(2, delay=MINUTE))
    assert await backend.engine.flows.cancel([kept, gone, gone, 10**9]) == (2, 0)
    assert (await record(backend, kept)).state == "cancelled"
    assert await backend.engine.operations.find(gone) is None
    assert await claim(backend) == []
    await added(backend, special(1, keep=60.0, key="a"))


async def test_a_dead_job_is_not_cancelled(backend: Backend) -> None:
    id = await added(backend, new_job(1))
    (job,) = await claim(backend)
    await backend.engine.complete([Bury(job.id, job.lease, FAILURE)])
    assert await backend.engine.flows.cancel([id]) == (0, 0)
    assert (await record(backend, id)).state == "dead"


async def test_a_running_job_is_asked_to_end_and_its_worker_alone_hears_of_it(backend: Backend) -> None:
    id = await added(backend, special(1, keep=60.0))
    (job,) = await claim(backend)
    assert (await backend.engine.flows.cancellations("w1")).running == frozenset()
    assert await backend.engine.flows.cancel([id]) == (0, 1)
    assert await backend.engine.flows.cancel([id]) == (0, 1)
    assert (await record(backend, id)).cancel_requested_at is not None
    assert (await backend.engine.flows.cancellations("w2")).running == frozenset()
    found = await backend.engine.flows.cancellations("w1")
    assert (found.running, found.waiting) == (frozenset({(id, job.lease)}), ())
    assert await backend.engine.complete([Cancelled(id, job.lease - 1)]) == {id}
    assert await backend.engine.complete([Cancelled(id, job.lease)]) == set()
    assert (await record(backend, id)).state == "cancelled"
    assert (await backend.engine.flows.cancellations("w1")).running == frozenset()


async def test_a_cancelled_job_that_came_back_is_found_for_anybody_to_end(backend: Backend) -> None:
    id = await added(backend, new_job(1))
    (job,) = await claim(backend)
    await backend.engine.flows.cancel([id])
    await backend.engine.complete([Retry(job.id, job.lease, MINUTE, FAILURE)])
    found = await backend.engine.flows.cancellations("w2")
    assert found.waiting == (id,)
    assert await backend.engine.flows.cancel(found.waiting) == (1, 0)
    assert await backend.engine.operations.find(id) is None


async def test_what_has_been_dead_for_long_is_pruned_queue_by_queue(backend: Backend) -> None:
    ids = [await added(backend, new_job(n)) for n in range(3)]
    for job in await claim(backend):
        await backend.engine.complete([Bury(job.id, job.lease, FAILURE)])
    await backend.advance(MINUTE)
    fresh = await added(backend, new_job(9))
    (job,) = await claim(backend)
    await backend.engine.complete([Bury(job.id, job.lease, FAILURE)])
    assert await backend.engine.flows.prune_dead("other", timedelta(0)) == 0
    assert await backend.engine.flows.prune_dead("mail", 30 * SECOND, limit=2) == 2
    assert await backend.engine.flows.prune_dead("mail", 30 * SECOND, limit=2) == 1
    assert [one.id for one in await backend.engine.operations.jobs(state="dead")] == [fresh]
    assert fresh not in ids
