"""Dead letters in bulk, alike for every engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from roadworthy.errors import InvalidFilter
from roadworthy.jobs.dead_letters import EVERYTHING, AuditEntry, DeadFilter, DeadLetters, carry_out, finish, named
from roadworthy.jobs.engine import Bury, Failure, NewJob, Retry
from roadworthy.runtime.scratch import ScratchServer

from .engines import FAILURE, LEASE, Backend, memory_backend, new_job, postgres_backend


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


async def dead(letters: DeadLetters, filter: DeadFilter = EVERYTHING, **page: int) -> list[int]:
    return [record.id for record in await letters.jobs(filter, **page)]


async def died(backend: Backend, jobs: Sequence[NewJob], failure: Failure = FAILURE) -> list[int]:
    """Have the jobs die in their order, one after the other; return their ids."""
    ids = [id for id in await backend.engine.enqueue(jobs) if id is not None]
    for queue in {job.queue for job in jobs}:
        for job in await backend.engine.claim(queue, limit=1000, lease=LEASE, worker="w1"):
            await backend.engine.complete([Bury(job.id, job.lease, failure)])
    return ids


async def die_again(backend: Backend) -> None:
    for job in await backend.engine.claim("mail", limit=1000, lease=LEASE, worker="w2"):
        await backend.engine.complete([Bury(job.id, job.lease, FAILURE)])


async def begin(backend: Backend, filter: DeadFilter, per_second: float | None = None) -> AuditEntry:
    letters = backend.engine.dead_letters
    chosen = await letters.choose(filter)
    return await letters.begin("retry", chosen, who="ann", reason=None, per_second=per_second)


async def count(backend: Backend, filter: DeadFilter) -> int:
    return (await backend.engine.dead_letters.choose(filter)).count


async def test_groups_tell_what_died_and_how_often(backend: Backend) -> None:
    ids = await died(backend, [new_job(n) for n in range(3)])
    other = Failure("urllib.error.URLError", "refused", "")
    await died(backend, [new_job(3, job="sweep"), new_job(4, queue="slow")], other)
    first, *rest = await backend.engine.dead_letters.groups()
    assert (first.queue, first.job, first.error_class, first.count) == ("mail", "send", "ValueError", 3)
    assert (first.example, first.message) == (ids[-1], "no")
    assert first.first_died_at < first.last_died_at
    assert [(group.queue, group.job, group.count) for group in rest] == [("mail", "sweep", 1), ("slow", "send", 1)]
    assert [group.job for group in await backend.engine.dead_letters.groups(DeadFilter(error_class="URLError"))] == [
        "sweep",
        "send",
    ]


async def test_a_filter_takes_what_all_of_it_applies_to(backend: Backend) -> None:
    began = await backend.engine.now()
    a, b = await died(backend, [new_job(1), new_job(2, job="sweep")])
    (c,) = await died(backend, [new_job(3, queue="slow")], Failure("smtp.Refused", "100% full_up", ""))
    ended = await backend.engine.now()
    for filter, found in (
        (DeadFilter(), [a, b, c]),
        (DeadFilter(queue="mail"), [a, b]),
        (DeadFilter(queue="mail", job="send"), [a]),
        (DeadFilter(error_class="Refused"), [c]),
        (DeadFilter(error_class="smtp.Refused"), [c]),
        (DeadFilter(error_class="efused"), []),
        (DeadFilter(error_class="%"), []),
        (DeadFilter(message="% full_"), [c]),
        (DeadFilter(message="FULL"), []),
        (DeadFilter(died_after=began, died_before=ended), [a, b, c]),
        (DeadFilter(died_before=began), []),
        (DeadFilter(younger_than=timedelta(hours=1)), [a, b, c]),
        (DeadFilter(older_than=timedelta(hours=1)), []),
        (DeadFilter(arguments={"n": 2}), [b]),
        (DeadFilter(arguments={"n": 2}, job="send"), []),
        (DeadFilter(arguments={}), [a, b, c]),
        (DeadFilter(ids=(c, a, c, 10**9)), [a, c]),
    ):
        assert await dead(backend.engine.dead_letters, filter) == sorted(found, reverse=True), filter
        assert await count(backend, filter) == len(found), filter
    assert await dead(backend.engine.dead_letters, limit=2) == [c, b]
    assert await dead(backend.engine.dead_letters, before=b) == [a]
    assert await count(backend, DeadFilter(at_most=2)) == 2


async def test_arguments_are_found_by_what_they_contain(backend: Backend) -> None:
    arguments = json.dumps({"to": {"user": 42, "name": "a\0b"}, "tags": ["x", "y"], "none": None}).encode()
    await died(backend, [replace(new_job(), arguments=arguments), new_job(1)])
    for wanted, found in (
        ({"to": {"user": 42}}, 1),
        ({"to": {"user": "42"}}, 0),
        ({"tags": ["y"]}, 1),
        ({"tags": ["z"]}, 0),
        ({"none": None}, 1),
        ({"missing": None}, 0),
    ):
        assert await count(backend, DeadFilter(arguments=wanted)) == found, wanted


async def test_only_what_was_confirmed_is_retried_and_only_once(backend: Backend) -> None:
    ids = await died(backend, [new_job(n) for n in range(5)])
    state = await begin(backend, DeadFilter(queue="mail"))
    assert (state.asked, state.changed, state.finished_at) == (5, 0, None)
    (late,) = await died(backend, [new_job(9)])
    state = await backend.engine.dead_letters.proceed(state.id, limit=2)
    assert (state.changed, state.finished_at) == (2, None)
    await die_again(backend)
    for _ in range(2):
        state = await backend.engine.dead_letters.proceed(state.id, limit=2)
    assert (state.asked, state.changed, state.conflicts) == (5, 5, 0)
    assert state.finished_at is not None
    assert await backend.engine.dead_letters.proceed(state.id) == state
    waiting = [record.id for record in await backend.engine.operations.jobs(state="ready")]
    assert sorted(waiting) == ids[2:]
    assert sorted(await dead(backend.engine.dead_letters)) == [*ids[:2], late]


async def test_what_was_interrupted_goes_on_where_it_was(backend: Backend) -> None:
    letters = backend.engine.dead_letters
    await died(backend, [new_job(n) for n in range(4)])
    filter = DeadFilter(job="send", younger_than=timedelta(hours=1))
    state = await begin(backend, filter)
    await letters.proceed(state.id, limit=3)
    await die_again(backend)
    assert await letters.unfinished("discard", filter) is None
    assert await letters.unfinished("retry", DeadFilter(job="send")) is None
    seen: list[int] = []
    again = await carry_out(letters, "retry", filter, who="bob", progress=lambda entry: seen.append(entry.changed))
    assert (again.id, again.who, again.changed) == (state.id, "ann", 4)
    assert seen == [4]
    assert len(await dead(letters)) == 3
    assert await letters.unfinished("retry", filter) is None
    # Nothing is left of that one, so the next takes those that died again.
    assert (await carry_out(letters, "retry", filter, who="bob")).changed == 3


async def test_an_operation_that_was_given_up_is_not_gone_on_with(backend: Backend) -> None:
    letters = backend.engine.dead_letters
    await died(backend, [new_job(n) for n in range(4)])
    state = await begin(backend, DeadFilter())
    await letters.proceed(state.id, limit=1)
    await letters.abandon(state.id)
    assert await letters.unfinished("retry", DeadFilter()) is None
    entry = await letters.proceed(state.id)
    assert (entry.asked, entry.changed) == (4, 1)


async def test_two_who_carry_out_one_operation_take_turns(backend: Backend) -> None:
    await died(backend, [new_job(n) for n in range(9)])
    state = await begin(backend, DeadFilter())

    async def work() -> int:
        turns = 0
        while (await backend.engine.dead_letters.proceed(state.id, limit=2)).finished_at is None:
            turns += 1
        return turns

    assert sum(await asyncio.gather(work(), work())) == 4
    assert (await backend.engine.dead_letters.proceed(state.id)).changed == 9
    assert len(await backend.engine.operations.jobs(state="ready")) == 9


async def test_at_most_takes_those_that_died_first(backend: Backend) -> None:
    ids = await died(backend, [new_job(n) for n in range(4)])
    state = await begin(backend, DeadFilter(at_most=2))
    await carry_out(backend.engine.dead_letters, "discard", named(ids[:1]), who="bob")
    # One of them is gone, and no other takes its place.
    state = await finish(backend.engine.dead_letters, state)
    assert (state.asked, state.changed) == (2, 1)
    assert sorted(await dead(backend.engine.dead_letters)) == ids[2:]


async def test_a_job_whose_key_was_taken_is_counted_and_stays_dead(backend: Backend) -> None:
    ids = await died(backend, [new_job(1, key="a"), new_job(2, key="b")])
    await backend.engine.enqueue([new_job(3, key="a")])
    entry = await carry_out(backend.engine.dead_letters, "retry", DeadFilter(), who="ann")
    assert (entry.asked, entry.changed, entry.conflicts) == (2, 1, 1)
    assert await dead(backend.engine.dead_letters) == ids[:1]


async def test_of_two_dead_jobs_with_one_key_the_first_gets_it(backend: Backend) -> None:
    first = await died(backend, [new_job(1, key="a")])
    second = await died(backend, [new_job(2, key="a")])
    entry = await carry_out(backend.engine.dead_letters, "retry", DeadFilter(), who="ann")
    assert (entry.changed, entry.conflicts) == (1, 1)
    assert [record.id for record in await backend.engine.operations.jobs(state="ready")] == first
    assert await dead(backend.engine.dead_letters) == second


async def test_a_rate_spreads_when_they_run(backend: Backend) -> None:
    await died(backend, [new_job(n) for n in range(4)])
    before = await backend.engine.now()
    state = await begin(backend, DeadFilter(), per_second=0.1)
    for _ in range(3):
        state = await backend.engine.dead_letters.proceed(state.id, limit=2)
    records = await backend.engine.operations.jobs()
    due = sorted((record.run_at - before).total_seconds() // 10 for record in records)
    assert due == [0, 1, 2, 3]
    await backend.engine.promote()
    assert len(await backend.engine.claim("mail", limit=9, lease=LEASE, worker="w")) == 1
    await backend.advance(timedelta(seconds=21))
    await backend.engine.promote()
    assert len(await backend.engine.claim("mail", limit=9, lease=LEASE, worker="w")) == 2


async def test_another_count_than_expected_changes_nothing(backend: Backend) -> None:
    ids = await died(backend, [new_job(1)])
    with pytest.raises(InvalidFilter, match="1 dead jobs match, not 2"):
        await carry_out(backend.engine.dead_letters, "discard", DeadFilter(), who="ann", expected=2)
    assert await dead(backend.engine.dead_letters) == ids
    assert (await carry_out(backend.engine.dead_letters, "discard", DeadFilter(), who="ann", expected=1)).changed == 1
    assert await backend.engine.operations.find(ids[0]) is None


async def test_the_audit_tells_who_did_what_and_why(backend: Backend) -> None:
    letters = backend.engine.dead_letters
    ids = await died(backend, [new_job(1), new_job(2)])
    await carry_out(letters, "retry", named(ids[:1]), who="ann", reason="mended", per_second=5)
    await letters.note("discard", {"ids": [7]}, asked=1, changed=0, who="bob")
    noted, retried = await letters.audit()
    assert (noted.who, noted.action, noted.filter, noted.asked, noted.changed) == ("bob", "discard", {"ids": [7]}, 1, 0)
    assert noted.finished_at is not None
    assert (retried.who, retried.action, retried.filter, retried.reason) == ("ann", "retry", {"ids": ids[:1]}, "mended")
    assert (retried.per_second, retried.asked, retried.changed) == (5.0, 1, 1)
    assert [entry.id for entry in await letters.audit(before=noted.id)] == [retried.id]
    assert len(await letters.audit(limit=1)) == 1


async def test_the_history_of_a_dead_job_is_whole(backend: Backend) -> None:
    (id,) = await backend.engine.enqueue([new_job(1)])
    (job,) = await backend.engine.claim("mail", limit=1, lease=LEASE, worker="w1")
    await backend.engine.complete([Retry(job.id, job.lease, timedelta(0), FAILURE)])
    (job,) = await backend.engine.claim("mail", limit=1, lease=LEASE, worker="w2")
    await backend.engine.complete([Bury(job.id, job.lease, Failure("KeyError", "x", "Traceback 2"))])
    record = await backend.engine.operations.find(id or 0)
    assert record is not None
    assert [(one["attempt"], one["worker"], one["error_class"], one["traceback"]) for one in record.failures] == [
        (1, "w1", "ValueError", FAILURE.traceback),
        (2, "w2", "KeyError", "Traceback 2"),
    ]
    times = [datetime.fromisoformat(one["at"]) for one in record.failures]
    assert times == sorted(times)


@pytest.mark.parametrize(
    "values",
    [{"at_most": 0}, {"died_before": datetime(2030, 1, 1)}, {"ids": tuple(range(10_001))}],  # noqa: DTZ001
)
def test_a_filter_that_can_match_nothing_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InvalidFilter):
        DeadFilter(**values)  # type: ignore[arg-type]


def test_equal_filters_are_equal_documents() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    one = DeadFilter(ids=(3, 1, 3), died_after=moment, older_than=timedelta(hours=1))
    other = DeadFilter(ids=(1, 3), died_after=moment, older_than=timedelta(minutes=60))
    assert one.document == other.document
    assert DeadFilter().document == {}
