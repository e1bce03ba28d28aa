"""How many jobs at once, how many in a time, and pauses: what every engine does alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from roadworthy.jobs.engine import Bury, ClaimedJob, Done, NewJob, Outcome, Release, Retry
from roadworthy.jobs.limits import LimitRule
from roadworthy.runtime.scratch import ScratchServer

from .engines import FAILURE, LEASE, Backend, memory_backend, new_job, postgres_backend

SECOND = timedelta(seconds=1)

PER_USER = LimitRule("job:send:at_once:{user}", "send", "{user}", 1, None, None)
TWO_OF_KIND = LimitRule("job:send:at_once", "send", None, 2, None, None)
THREE_IN_QUEUE = LimitRule("queue:mail:at_once", None, None, 3, None, None)
TEN_A_MINUTE = LimitRule("job:send:rate/60s", "send", None, None, 6 * SECOND, 2)
QUEUE_RATE = LimitRule("queue:mail:rate/60s", None, None, None, 6 * SECOND, 2)
PER_SITE = LimitRule("queue:mail:at_once:{site}", None, "{site}", 1, None, None)


@pytest.fixture(params=["memory", "postgres"])
def server(request: pytest.FixtureRequest) -> ScratchServer | None:
    """PostgreSQL, started only for the engine that needs it."""
    if request.param == "memory":
        return None
    started: ScratchServer = request.getfixturevalue("postgres_server")
    return started


@pytest.fixture(autouse=True)
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claim from the beginning, however slow the machine: a claim from further on may find jobs out of order."""
    monkeypatch.setattr("roadworthy.jobs.frontier._CHEAP", 3600.0)


@pytest.fixture
async def backend(server: ScratchServer | None) -> AsyncIterator[Backend]:
    if server is None:
        async with memory_backend() as opened:
            yield opened
        return
    async with server.database() as dsn, postgres_backend(dsn) as opened:
        yield opened


async def claim(backend: Backend, rules: Sequence[LimitRule], limit: int = 10) -> list[ClaimedJob]:
    return await backend.engine.claim("mail", limit=limit, lease=LEASE, worker="w", limits=rules)


def numbers(jobs: Sequence[ClaimedJob]) -> list[int]:
    return [json.loads(job.arguments)["n"] for job in jobs]


def of_user(n: int, user: str, **more: Any) -> NewJob:
    return new_job(n, limit_keys={"{user}": json.dumps([user])}, **more)


async def done(backend: Backend, *jobs: ClaimedJob) -> None:
    assert await backend.engine.complete([Done(job.id, job.lease) for job in jobs]) == set()


async def blocked_by(backend: Backend) -> dict[int, str | None]:
    records = await backend.engine.operations.jobs(state="blocked")
    return {json.loads(record.arguments)["n"]: record.blocked_by for record in records}


async def test_one_job_of_a_key_runs_at_once_and_the_next_follows_in_order(backend: Backend) -> None:
    await backend.engine.enqueue([of_user(n, "ann" if n < 4 else "bob") for n in range(6)])
    first = await claim(backend, [PER_USER])
    assert numbers(first) == [0, 4]
    assert await blocked_by(backend) == {n: f'{PER_USER.family}:["{"ann" if n < 4 else "bob"}"]' for n in (1, 2, 3, 5)}
    assert await claim(backend, [PER_USER]) == []
    ran = numbers(first)
    for _ in range(3):
        await done(backend, *first)
        first = await claim(backend, [PER_USER])
        ran += numbers(first)
    assert ran == [0, 4, 1, 5, 2, 3]
    await done(backend, *first)
    assert await backend.engine.counts() == []


@pytest.mark.parametrize(
    "end", ["done", "release", "retry", "retry later", "bury", "rescue", "rescue for the last time"]
)
async def test_every_end_of_a_holding_gives_its_slot_back(backend: Backend, end: str) -> None:
    await backend.engine.enqueue([of_user(0, "ann", attempts=1 if "last" in end else 3), of_user(1, "ann", priority=1)])
    (job,) = await claim(backend, [PER_USER])
    ends: dict[str, Outcome] = {
        "done": Done(job.id, job.lease),
        "release": Release(job.id, job.lease),
        "retry": Retry(job.id, job.lease, timedelta(0), FAILURE),
        "retry later": Retry(job.id, job.lease, SECOND, FAILURE),
        "bury": Bury(job.id, job.lease, FAILURE),
    }
    if end in ends:
        await backend.engine.complete([ends[end]])
    else:
        await backend.advance(LEASE + SECOND)
        assert len(await backend.engine.rescue()) == 1
    (following,) = await claim(backend, [PER_USER])
    assert numbers([following]) == [0 if end in ("release", "retry", "rescue") else 1]
    if end in ends:
        assert await backend.engine.complete([ends[end]]) == {job.id}
    assert await claim(backend, [PER_USER]) == [], "an end that was fenced off gave a slot back"


async def test_all_limits_of_a_job_must_let_it_through(backend: Backend) -> None:
    users = ["ann", "ann", "bob", "cid", "dan"]
    await backend.engine.enqueue([of_user(n, user) for n, user in enumerate(users)])
    await backend.engine.enqueue([new_job(8, job="sweep"), new_job(9, job="sweep")])
    rules = [PER_USER, TWO_OF_KIND, THREE_IN_QUEUE]
    first = await claim(backend, rules)
    assert numbers(first) == [0, 2, 8]
    assert await claim(backend, rules) == []
    assert (await blocked_by(backend)) == {
        1: f'{PER_USER.family}:["ann"]',
        3: TWO_OF_KIND.family,
        4: TWO_OF_KIND.family,
    }
    await done(backend, first[1])
    assert numbers(await claim(backend, rules)) == [3]
    await done(backend, first[0])
    assert numbers(await claim(backend, rules)) == [1]
    await done(backend, first[2])
    assert numbers(await claim(backend, rules)) == [9]


async def test_a_full_queue_puts_nothing_aside(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(n) for n in range(5)])
    first = await claim(backend, [THREE_IN_QUEUE])
    assert numbers(first) == [0, 1, 2]
    assert await claim(backend, [THREE_IN_QUEUE]) == []
    (counts,) = await backend.engine.counts()
    assert (counts.ready, counts.blocked) == (2, 0)
    async with backend.engine.listen() as hints:
        await done(backend, first[0])
        async with asyncio.timeout(60):
            assert await anext(hints) == "mail"
    assert numbers(await claim(backend, [THREE_IN_QUEUE])) == [3]


async def test_a_key_of_a_queue_counts_jobs_of_every_kind(backend: Backend) -> None:
    keys = {"{site}": '["example.org"]'}
    await backend.engine.enqueue([new_job(0, limit_keys=keys), new_job(1, job="sweep", limit_keys=keys), new_job(2)])
    assert numbers(await claim(backend, [PER_SITE])) == [0, 2]
    assert await blocked_by(backend) == {1: f'{PER_SITE.family}:["example.org"]'}


async def test_a_slot_of_the_kind_goes_to_a_job_whose_key_is_free(backend: Backend) -> None:
    await backend.engine.enqueue([of_user(0, "ann"), of_user(1, "bob")])
    rules = [PER_USER, TWO_OF_KIND]
    ann, bob = await claim(backend, rules)
    await backend.engine.enqueue([of_user(n, "cid") for n in range(2, 5)])
    await claim(backend, rules, 1)
    await backend.engine.enqueue([of_user(n, "cid") for n in range(5, 30)])
    await backend.engine.enqueue([of_user(40, "dan")])
    await claim(backend, rules, 1)
    await done(backend, ann)
    assert numbers(await claim(backend, rules)) == [2]
    await done(backend, bob)
    assert numbers(await claim(backend, rules)) == [40], "jobs of a busy key kept the slot from others"


async def test_a_rate_lets_a_burst_through_then_one_after_the_other(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(n) for n in range(5)])
    assert numbers(await claim(backend, [TEN_A_MINUTE])) == [0, 1]
    assert set(await blocked_by(backend)) == {2, 3, 4}
    due = await backend.engine.promote()
    assert due is not None
    assert 5 * SECOND < due <= 6 * SECOND
    assert await claim(backend, [TEN_A_MINUTE]) == []
    await backend.advance(6 * SECOND)
    await backend.engine.promote()
    assert numbers(await claim(backend, [TEN_A_MINUTE])) == [2]
    await backend.advance(60 * SECOND)
    await backend.engine.promote()
    assert numbers(await claim(backend, [TEN_A_MINUTE])) == [3, 4]
    await backend.advance(60 * SECOND)
    assert await backend.engine.promote() is None


async def test_a_rate_of_a_whole_queue_wakes_its_workers_when_there_is_room(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(n) for n in range(3)])
    assert numbers(await claim(backend, [QUEUE_RATE])) == [0, 1]
    assert await claim(backend, [QUEUE_RATE]) == []
    assert await blocked_by(backend) == {}
    due = await backend.engine.promote()
    assert due is not None
    assert 5 * SECOND < due <= 6 * SECOND
    async with backend.engine.listen() as hints:
        await backend.advance(6 * SECOND)
        assert await backend.engine.promote() is None
        async with asyncio.timeout(60):
            assert await anext(hints) == "mail"
    assert numbers(await claim(backend, [QUEUE_RATE])) == [2]


async def test_a_failed_job_that_comes_back_counts_again_in_a_rate(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(0), new_job(1)])
    first, _ = await claim(backend, [TEN_A_MINUTE])
    await backend.engine.complete([Retry(first.id, first.lease, timedelta(0), FAILURE)])
    assert await claim(backend, [TEN_A_MINUTE]) == []
    assert await blocked_by(backend) == {0: TEN_A_MINUTE.family}


async def test_mending_follows_what_is_declared_now(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(n) for n in range(6)])
    one = LimitRule("job:send:at_once", "send", None, 1, None, None)
    first = await claim(backend, [one])
    assert numbers(first) == [0]
    await backend.engine.mend(["mail"], [TWO_OF_KIND])
    second = await claim(backend, [TWO_OF_KIND])
    assert numbers(second) == [1]
    await backend.engine.mend(["mail"], [one])
    await done(backend, first[0])
    assert await claim(backend, [one]) == [], "a slot too many after the limit was lowered"
    await done(backend, second[0])
    third = await claim(backend, [one])
    assert numbers(third) == [2]
    await backend.engine.mend(["other"], [])
    assert set(await blocked_by(backend)) == {3, 4, 5}, "a worker of another queue lifted it"
    await backend.engine.mend(["mail"], [])
    assert numbers(await claim(backend, [])) == [3, 4, 5]


async def test_mending_lets_in_who_waits_while_there_is_room(backend: Backend) -> None:
    await backend.engine.enqueue([of_user(n, "ann") for n in range(3)])
    first = await claim(backend, [PER_USER])
    await done(backend, *first)
    (woken,) = await backend.engine.operations.jobs(state="ready")
    assert await backend.engine.operations.discard([woken.id]) == 1
    assert await claim(backend, [PER_USER]) == []
    await backend.engine.mend(["mail"], [PER_USER])
    assert numbers(await claim(backend, [PER_USER])) == [2]


async def test_a_raised_rate_counts_at_once(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(n) for n in range(4)])
    slow = LimitRule("job:send:rate/60s", "send", None, None, 60 * SECOND, 1)
    assert numbers(await claim(backend, [slow])) == [0]
    await backend.engine.mend(["mail"], [TEN_A_MINUTE])
    await backend.engine.promote()
    assert numbers(await claim(backend, [TEN_A_MINUTE])) == [1]


async def test_jobs_of_a_full_key_do_not_hold_others_up(backend: Backend) -> None:
    await backend.engine.enqueue([of_user(n, "ann") for n in range(300)])
    await backend.engine.enqueue([of_user(1000 + n, f"user {n}") for n in range(5)])
    first = await claim(backend, [PER_USER], 2)
    assert numbers(first) == [0, 1000]
    assert numbers(await claim(backend, [PER_USER], 2)) == [1001, 1002]
    (counts,) = await backend.engine.counts()
    assert (counts.ready, counts.blocked, counts.running) == (2, 299, 4)


async def test_a_paused_queue_is_left_alone_until_it_is_resumed(backend: Backend) -> None:
    operations = backend.engine.operations
    await backend.engine.enqueue([new_job(n) for n in range(3)])
    (running,) = await claim(backend, [], 1)
    assert await operations.pause("mail", by="ann", reason="the provider is down")
    assert not await operations.pause("mail", by="bob")
    (pause,) = await operations.pauses()
    assert (pause.queue, pause.job, pause.by, pause.reason) == ("mail", None, "ann", "the provider is down")
    for rules in ([], [PER_USER]):
        assert await claim(backend, rules) == []
    assert await blocked_by(backend) == {}
    await done(backend, running)
    await backend.engine.enqueue([new_job(3)])
    async with backend.engine.listen() as hints:
        assert await operations.resume("mail")
        async with asyncio.timeout(60):
            assert await anext(hints) == "mail"
    assert not await operations.resume("mail")
    assert numbers(await claim(backend, [])) == [1, 2, 3]


@pytest.mark.parametrize("rules", [[], [PER_SITE]], ids=["without limits", "with limits"])
async def test_a_paused_kind_waits_and_comes_back_in_order(backend: Backend, rules: list[LimitRule]) -> None:
    operations = backend.engine.operations
    await backend.engine.enqueue([new_job(n, job="send" if n % 2 else "sweep") for n in range(6)])
    assert await operations.pause("mail", "send", by="ann")
    assert numbers(await claim(backend, rules, 3)) == [0, 2, 4]
    assert set(await blocked_by(backend)) <= {1, 3, 5}
    await backend.engine.enqueue([new_job(7), new_job(8, job="sweep")])
    assert numbers(await claim(backend, rules)) == [8]
    assert await blocked_by(backend) == dict.fromkeys((1, 3, 5, 7), "pause:send")
    await backend.engine.mend(["mail"], rules)
    assert await claim(backend, rules) == []
    assert await operations.resume("mail", "send")
    assert numbers(await claim(backend, rules)) == [1, 3, 5, 7]
    assert await operations.pauses() == []


async def test_a_pause_of_one_queue_leaves_the_others(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1)])
    await backend.engine.operations.pause("other")
    await backend.engine.operations.pause("other", "send")
    assert numbers(await claim(backend, [])) == [1]
    assert [(pause.queue, pause.job) for pause in await backend.engine.operations.pauses()] == [
        ("other", None),
        ("other", "send"),
    ]
