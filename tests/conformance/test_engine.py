"""What every engine does alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from roadworthy.jobs.engine import Bury, ClaimedJob, Done, JobOptions, Release, Retry, ScheduleRecord
from roadworthy.runtime.scratch import ScratchServer

from .engines import FAILURE, LEASE, Backend, memory_backend, new_job, postgres_backend, retry_dead

SECOND = timedelta(seconds=1)


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


async def claim(backend: Backend, limit: int = 10, worker: str = "w1") -> list[ClaimedJob]:
    return await backend.engine.claim("mail", limit=limit, lease=LEASE, worker=worker)


def numbers(jobs: list[ClaimedJob]) -> list[int]:
    return [json.loads(job.arguments)["n"] for job in jobs]


async def test_a_job_is_claimed_once_and_gone_when_done(backend: Backend) -> None:
    (id,) = await backend.engine.enqueue([new_job(1)])
    (job,) = await claim(backend)
    assert (job.id, job.queue, job.job, job.attempt, job.attempts) == (id, "mail", "send", 1, 3)
    assert 0 <= job.waited < 60
    assert await claim(backend) == []
    assert await backend.engine.complete([Done(job.id, job.lease)]) == set()
    assert await backend.engine.operations.find(job.id) is None
    assert await backend.engine.counts() == []


async def test_ids_come_in_the_order_of_the_jobs(backend: Backend) -> None:
    ids = await backend.engine.enqueue([new_job(n, key=None if n % 2 else f"key-{9 - n}") for n in range(10)])
    assert None not in ids
    assert ids == sorted(ids, key=lambda number: number or 0)
    for n, id in enumerate(ids):
        record = await backend.engine.operations.find(id or 0)
        assert record is not None
        assert json.loads(record.arguments) == {"n": n}


async def test_nothing_enqueued_is_nothing_done(backend: Backend) -> None:
    assert await backend.engine.enqueue([]) == []
    assert await backend.engine.complete([]) == set()


async def test_a_claim_takes_at_most_its_limit_and_only_of_its_queue(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(n) for n in range(5)] + [new_job(9, queue="other")])
    assert numbers(await claim(backend, 2)) == [0, 1]
    assert numbers(await claim(backend, 9)) == [2, 3, 4]


async def test_the_lowest_priority_number_goes_first_then_the_longest_ready(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1, priority=5), new_job(2, priority=-5)])
    await backend.engine.enqueue([new_job(3, priority=5), new_job(4, priority=-5)])
    assert numbers(await claim(backend)) == [2, 4, 1, 3]


async def test_a_delayed_job_waits_for_its_time(backend: Backend) -> None:
    far = datetime.now(UTC) + timedelta(days=3650)
    await backend.engine.enqueue([new_job(1, delay=10 * SECOND), new_job(2, run_at=far)])
    due = await backend.engine.promote()
    assert due is not None
    assert timedelta(0) < due <= 10 * SECOND
    assert await claim(backend) == []
    await backend.advance(11 * SECOND)
    await backend.engine.promote()
    assert numbers(await claim(backend)) == [1]


async def test_a_time_in_the_past_does_not_jump_the_queue(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1)])
    await backend.engine.enqueue([new_job(2, run_at=datetime(2001, 1, 1, tzinfo=UTC))])
    assert numbers(await claim(backend)) == [1, 2]


async def test_promotion_is_limited_and_says_when_to_come_again(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(n, delay=SECOND) for n in range(3)])
    await backend.advance(2 * SECOND)
    assert await backend.engine.promote(limit=2) == timedelta(0)
    assert await backend.engine.promote(limit=2) is None
    assert len(await claim(backend)) == 3


async def test_a_unique_key_is_held_while_waiting_and_running(backend: Backend) -> None:
    first, second, other = await backend.engine.enqueue(
        [new_job(1, key="a"), new_job(2, key="a"), new_job(3, key="a", job="other")]
    )
    assert first is not None
    assert second is None
    assert other is not None
    jobs = await claim(backend)
    assert await backend.engine.enqueue([new_job(4, key="a")]) == [None]
    await backend.engine.complete([Retry(job.id, job.lease, 10 * SECOND, FAILURE) for job in jobs])
    assert await backend.engine.enqueue([new_job(5, key="a")]) == [None]


@pytest.mark.parametrize("end", ["done", "dead", "discarded"])
async def test_a_unique_key_is_free_again_at_the_end(backend: Backend, end: str) -> None:
    (id,) = await backend.engine.enqueue([new_job(1, key="a")])
    assert id is not None
    if end == "discarded":
        assert await backend.engine.operations.discard([id]) == 1
    else:
        (job,) = await claim(backend)
        done, dead = Done(job.id, job.lease), Bury(job.id, job.lease, FAILURE)
        await backend.engine.complete([done if end == "done" else dead])
    assert await backend.engine.enqueue([new_job(2, key="a")]) != [None]


async def test_a_stale_lease_is_fenced_off_for_every_outcome(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1)])
    (stale,) = await claim(backend)
    await backend.advance(LEASE + SECOND)
    (rescued,) = await backend.engine.rescue()
    assert (rescued.id, rescued.worker, rescued.buried) == (stale.id, "w1", False)
    (fresh,) = await claim(backend, worker="w2")
    assert fresh.lease > stale.lease
    assert fresh.attempt == 2
    for outcome in (
        Done(stale.id, stale.lease),
        Release(stale.id, stale.lease),
        Retry(stale.id, stale.lease, SECOND, FAILURE),
        Bury(stale.id, stale.lease, FAILURE),
    ):
        assert await backend.engine.complete([outcome]) == {stale.id}
    assert await backend.engine.heartbeat([(stale.id, stale.lease)], lease=LEASE) == {stale.id}
    assert await backend.engine.complete([Done(fresh.id, fresh.lease)]) == set()


async def test_an_outcome_counts_once(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1)])
    (job,) = await claim(backend)
    retry = Retry(job.id, job.lease, timedelta(0), FAILURE)
    assert await backend.engine.complete([retry]) == set()
    assert await backend.engine.complete([retry]) == {job.id}


async def test_the_lease_never_goes_back(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1, attempts=1)])
    leases: list[int] = []
    for _ in range(3):
        (job,) = await claim(backend)
        leases.append(job.lease)
        await backend.engine.complete([Release(job.id, job.lease)])
        (job,) = await claim(backend)
        leases.append(job.lease)
        await backend.engine.complete([Bury(job.id, job.lease, FAILURE)])
        assert await retry_dead(backend.engine, [job.id]) == 1
    assert leases == sorted(set(leases))


async def test_heartbeats_keep_a_job(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1)])
    (job,) = await claim(backend)
    for _ in range(3):
        await backend.advance(LEASE / 2)
        assert await backend.engine.heartbeat([(job.id, job.lease)], lease=LEASE) == set()
        assert await backend.engine.rescue() == []
    assert await backend.engine.complete([Done(job.id, job.lease)]) == set()


async def test_an_expired_lease_that_nobody_took_still_counts(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1)])
    (job,) = await claim(backend)
    await backend.advance(2 * LEASE)
    assert await backend.engine.complete([Done(job.id, job.lease)]) == set()


async def test_a_job_whose_worker_vanishes_in_every_attempt_ends_in_the_dead_letters(backend: Backend) -> None:
    (id,) = await backend.engine.enqueue([new_job(1, attempts=2)])
    assert id is not None
    for last in (False, True):
        assert len(await claim(backend)) == 1
        await backend.advance(LEASE + SECOND)
        (rescued,) = await backend.engine.rescue()
        assert rescued.buried is last
    record = await backend.engine.operations.find(id)
    assert record is not None
    assert record.state == "dead"
    assert [failure["error_class"] for failure in record.failures] == ["LeaseExpired", "LeaseExpired"]
    assert [failure["attempt"] for failure in record.failures] == [1, 2]


async def test_a_rescue_takes_at_most_its_limit(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(n) for n in range(3)])
    await claim(backend)
    await backend.advance(LEASE + SECOND)
    assert [len(await backend.engine.rescue(limit=2)) for _ in range(3)] == [2, 1, 0]


async def test_a_retry_waits_and_keeps_its_failures_until_it_succeeds(backend: Backend) -> None:
    (id,) = await backend.engine.enqueue([new_job(1)])
    assert id is not None
    (job,) = await claim(backend)
    await backend.engine.complete([Retry(job.id, job.lease, 10 * SECOND, FAILURE)])
    record = await backend.engine.operations.find(id)
    assert record is not None
    assert record.state == "scheduled"
    (failure,) = record.failures
    assert (failure["attempt"], failure["worker"], failure["message"]) == (1, "w1", "no")
    assert set(failure) == {"attempt", "at", "worker", "error_class", "message", "traceback"}
    await backend.advance(11 * SECOND)
    await backend.engine.promote()
    (job,) = await claim(backend)
    assert job.attempt == 2
    await backend.engine.complete([Done(job.id, job.lease)])
    assert await backend.engine.operations.find(id) is None


async def test_a_dead_job_tells_its_whole_history_and_comes_back_new(backend: Backend) -> None:
    (id,) = await backend.engine.enqueue([new_job(7, attempts=2, priority=3)])
    assert id is not None
    (job,) = await claim(backend)
    await backend.engine.complete([Retry(job.id, job.lease, timedelta(0), FAILURE)])
    (job,) = await claim(backend, worker="w2")
    await backend.engine.complete([Bury(job.id, job.lease, FAILURE)])
    record = await backend.engine.operations.find(id)
    assert record is not None
    assert (record.state, record.attempt, record.attempts, record.priority) == ("dead", 2, 2, 3)
    assert [(failure["attempt"], failure["worker"]) for failure in record.failures] == [(1, "w1"), (2, "w2")]
    assert json.loads(record.arguments) == {"n": 7}
    assert await retry_dead(backend.engine, [id, id, 10**9]) == 1
    assert await retry_dead(backend.engine, [id]) == 0
    (job,) = await claim(backend)
    assert (job.attempt, job.attempts) == (1, 2)
    record = await backend.engine.operations.find(id)
    assert record is not None
    assert record.failures == ()


async def test_a_dead_job_whose_key_was_taken_stays_dead(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1, key="a")])
    (job,) = await claim(backend)
    await backend.engine.complete([Bury(job.id, job.lease, FAILURE)])
    await backend.engine.enqueue([new_job(2, key="a")])
    assert await retry_dead(backend.engine, [job.id]) == 0
    record = await backend.engine.operations.find(job.id)
    assert record is not None
    assert record.state == "dead"


async def test_a_released_job_keeps_its_place_and_its_attempt(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1), new_job(2)])
    (job,) = await claim(backend, 1)
    await backend.engine.complete([Release(job.id, job.lease)])
    jobs = await claim(backend)
    assert numbers(jobs) == [1, 2]
    assert [job.attempt for job in jobs] == [1, 1]


async def test_one_batch_holds_every_kind_of_outcome(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(n) for n in range(5)])
    a, b, c, d, e = await claim(backend)
    fenced = await backend.engine.complete(
        [
            Bury(d.id, d.lease, FAILURE),
            Done(a.id, a.lease),
            Retry(b.id, b.lease, SECOND, FAILURE),
            Release(c.id, c.lease),
            Done(e.id, e.lease + 1),
        ]
    )
    assert fenced == {e.id}
    (counts,) = await backend.engine.counts()
    assert (counts.scheduled, counts.ready, counts.running, counts.dead) == (1, 1, 1, 1)


async def test_discard_leaves_running_jobs_alone(backend: Backend) -> None:
    ids = await backend.engine.enqueue([new_job(n) for n in range(3)])
    running, doomed = await claim(backend, 2)
    await backend.engine.complete([Bury(doomed.id, doomed.lease, FAILURE)])
    assert await backend.engine.operations.discard([id for id in ids if id is not None]) == 2
    assert [record.id for record in await backend.engine.operations.jobs()] == [running.id]


async def test_a_fire_time_fires_once(backend: Backend) -> None:
    tick = datetime(2030, 1, 1, 3, tzinfo=UTC)
    assert await backend.engine.fire("nightly", tick, new_job(1))
    assert not await backend.engine.fire("nightly", tick, new_job(1))
    fired = await asyncio.gather(
        *(backend.engine.fire("nightly", tick + timedelta(days=1), new_job(2)) for _ in range(4))
    )
    assert sorted(fired) == [False, False, False, True]
    assert await backend.engine.fire("hourly", tick, new_job(3))
    assert not await backend.engine.fire("nightly", tick + timedelta(hours=23), new_job(4)), "times only grow"
    assert await backend.engine.fire("nightly", tick + timedelta(days=9), new_job(5))
    assert not await backend.engine.fire("nightly", tick, new_job(1)), "its row may be gone by now"
    assert numbers(await claim(backend)) == [1, 2, 3, 5]


async def test_a_fire_time_arrives_in_its_own_zone(backend: Backend) -> None:
    local = datetime(2030, 3, 31, 3, tzinfo=timezone(timedelta(hours=2)))
    job = replace(new_job(1), options=JobOptions(fire_time=local))
    assert await backend.engine.fire("nightly", local, job)
    await backend.engine.enqueue([new_job(2)])
    fired, plain = await claim(backend)
    assert fired.fire_time == local
    assert fired.fire_time.utcoffset() == timedelta(hours=2)
    assert plain.fire_time is None
    await backend.engine.complete([Bury(fired.id, fired.lease, FAILURE)])
    await retry_dead(backend.engine, [fired.id])
    again = (await claim(backend))[-1]
    assert again.fire_time == local


async def test_a_definition_counts_from_when_it_took_the_place_of_another(backend: Backend) -> None:
    def at(hour: int, minute: int = 0) -> datetime:
        return datetime(2030, 1, 1, hour, minute, tzinfo=UTC)

    engine, note = backend.engine, backend.engine.note_schedule
    assert await note("nightly", "three", at(1)) == at(1)
    assert await note("nightly", "three", at(2)) == at(1)
    assert await note("hourly", "three", at(2)) == at(2), "of another schedule"
    await engine.fire("nightly", at(3), new_job(1))
    assert await note("nightly", "three", at(4)) == at(3)
    assert await note("nightly", "three", at(9)) == at(3), "nobody was there, and nothing took its place"
    assert await note("nightly", "four", at(9, 1)) == at(9, 1)
    assert await note("nightly", "three", at(9, 2)) == at(3), "side by side, neither has taken the other's place"
    assert await note("nightly", "four", at(12)) == at(9, 1)
    assert await note("nightly", "three", at(12, 1)) == at(12, 1), "it comes back after the other had its place"
    assert await note("nightly", "three", at(11)) == at(12, 1), "a look that took long changes nothing"
    assert await note("nightly", "four", at(12, 2)) == at(9, 1)
    await engine.forget_schedules(at(12, 2))
    assert await note("nightly", "three", at(13)) == at(13)
    assert await engine.schedules() == [
        ScheduleRecord("nightly", "four", at(9, 1), at(12, 2), at(3)),
        ScheduleRecord("nightly", "three", at(13), at(13), at(3)),
    ]
    await engine.forget_schedules(at(14))
    assert await engine.schedules() == []
    assert await engine.fire("nightly", at(3), new_job(1)), "its fires are forgotten, too"


async def test_listing_filters_and_pages(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(n, job="send" if n % 2 else "sweep") for n in range(4)])
    await backend.engine.enqueue([new_job(4, queue="other", delay=SECOND)])
    (job,) = await claim(backend, 1)
    await backend.engine.complete([Bury(job.id, job.lease, FAILURE)])
    everything = await backend.engine.operations.jobs()
    assert [json.loads(record.arguments)["n"] for record in everything] == [4, 3, 2, 1, 0]
    assert [record.state for record in everything] == ["scheduled", "ready", "ready", "ready", "dead"]
    assert [record.id for record in await backend.engine.operations.jobs(state="dead")] == [job.id]
    assert len(await backend.engine.operations.jobs(queue="mail", job="send", state="ready")) == 2
    page = await backend.engine.operations.jobs(limit=2)
    assert [record.id for record in await backend.engine.operations.jobs(limit=9, before=page[-1].id)] == [
        record.id for record in everything[2:]
    ]


async def test_counts_say_since_when_the_oldest_waits(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1), new_job(2, delay=SECOND)])
    now = await backend.engine.now()
    (counts,) = await backend.engine.counts()
    assert (counts.queue, counts.scheduled, counts.ready) == ("mail", 1, 1)
    assert counts.oldest_ready_at is not None
    assert counts.oldest_ready_at <= now


async def test_listeners_hear_of_new_jobs(backend: Backend) -> None:
    async with backend.engine.listen() as hints:
        await backend.engine.enqueue([new_job(1)])
        async with asyncio.timeout(60):
            assert await anext(hints) == "mail"


async def test_the_enqueuing_context_travels_with_the_job(backend: Backend) -> None:
    job = new_job(1)
    await backend.engine.enqueue([type(job)("mail", "send", b"{}", 3, context={"request_id": "r-1"})])
    (claimed,) = await claim(backend)
    assert claimed.context == {"request_id": "r-1"}


async def test_arguments_come_back_as_they_went(backend: Backend) -> None:
    arguments = json.dumps({"text": 'ü"\\\u2028\0', "nested": [1, 2.5, None, True, {"b": 1, "a": 2}]}).encode()
    await backend.engine.enqueue([type(new_job())("mail", "send", arguments, 3)])
    (claimed,) = await claim(backend)
    assert json.loads(claimed.arguments) == json.loads(arguments)


async def test_concurrent_claims_never_share_a_job(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(n) for n in range(200)])
    batches = await asyncio.gather(*(claim(backend, 30, f"w{n}") for n in range(10)))
    ids = [job.id for batch in batches for job in batch]
    assert len(ids) == len(set(ids)) == 200


async def test_what_few_jobs_have_stays_with_the_job_through_the_dead_letters(backend: Backend) -> None:
    options = JobOptions(version=3, keep=60.0, limit_keys={"{name}": '["\\u0000"]'})
    (id,) = await backend.engine.enqueue([replace(new_job(1), options=options)])
    (job,) = await claim(backend)
    assert job.options == options
    await backend.engine.complete([Bury(job.id, job.lease, FAILURE)])
    assert await retry_dead(backend.engine, [id or 0]) == 1
    (again,) = await claim(backend)
    assert again.options == options


async def test_a_job_past_its_lease_is_overdue_until_somebody_takes_it_back(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1), new_job(2)])
    await claim(backend)
    (counts,) = await backend.engine.counts()
    assert (counts.running > 0, counts.overdue) == (True, 0)
    await backend.advance(LEASE + SECOND)
    (counts,) = await backend.engine.counts()
    assert counts.overdue == counts.running
    await backend.engine.rescue()
    (counts,) = await backend.engine.counts()
    assert counts.overdue == 0
