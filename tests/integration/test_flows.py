"""What jobs do besides run: put off, return, cancel, report, wait for each other, and hide what they are given."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from roadworthy import (
    EncryptionKeyMissing,
    GiveUp,
    InvalidResult,
    NoResult,
    NotRunning,
    Service,
    Snooze,
    UniqueKeyTaken,
    current_job,
    hours,
    minutes,
    seconds,
    testing,
)
from roadworthy.jobs.engine import ClaimedJob, JobOptions, NewJob
from roadworthy.jobs.sealing import keys_of, unsealed
from roadworthy.jobs.spec import QueueSpec
from roadworthy.jobs.worker import Worker
from roadworthy.telemetry import logging

service = Service("flows")
database = service.database()
work = service.queue("work", attempts=3, keep_dead=hours(1))
calls: list[Any] = []


@dataclass
class Sum:
    total: int
    of: list[int]


@work.job()
async def snooze(times: int) -> None:
    job = current_job()
    assert job is not None
    calls.append((job.attempt, job.options.snoozes))
    if job.options.snoozes < times:
        raise Snooze(seconds(0))


@work.job()
async def give_up() -> None:
    raise GiveUp("this payload will never be understood")


@work.job(keep=hours(1))
async def add(numbers: list[int]) -> Sum:
    return Sum(sum(numbers), numbers)


@work.job(keep=hours(1))
def add_in_thread(a: int, b: int) -> int:
    return a + b


@work.job(keep=hours(1))
async def lie() -> int:
    value: Any = "many"
    return value  # type: ignore[no-any-return]


@work.job(keep=hours(1))
async def endless(n: int = 0) -> None:
    calls.append(n)
    await asyncio.sleep(3600)


@work.job()
def stubborn() -> None:
    job = current_job()
    assert job is not None
    calls.append(threading.current_thread().name)
    while not job.cancelled:
        time.sleep(0.005)
    raise RuntimeError("stopped half way")


@work.job(keep=hours(1))
async def report(steps: int) -> None:
    job = current_job()
    assert job is not None
    for step in range(1, steps + 1):
        job.progress(step, steps, f"step {step}")


@work.job(keep=hours(1))
def report_in_thread() -> None:
    job = current_job()
    assert job is not None
    job.progress(1, note="x" * 1000)
    with pytest.raises(ValueError, match="1000"):
        job.progress(2, note="x" * 1001)


@work.job()
async def gather_results() -> None:
    job = current_job()
    assert job is not None
    calls.append([(one.job, one.result) for one in await job.predecessors()])


@work.job(unique="{n}")
async def single(n: int) -> None:
    calls.append(n)


def upgraded(version: int, arguments: dict[str, Any]) -> dict[str, Any]:
    if version == 1:
        first, _, last = arguments.pop("name").partition(" ")
        arguments |= {"first": first, "last": last}
    return {**arguments, "title": None}


@work.job(version=3, upgrade=upgraded)
async def greet(first: str, last: str, title: str | None = None) -> None:
    calls.append((first, last, title))


@work.job(encrypted=True, unique="{card}", unique_while="unresolved", keep=hours(1), attempts=1)
async def charge(card: str, fail: bool = False) -> str:
    calls.append(card)
    if fail:
        raise ValueError(f"card {card} was refused")
    return f"charged {card}"


def key(n: int) -> str:
    return base64.b64encode(bytes([n]) * 32).decode()


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    calls.clear()
    monkeypatch.setenv("ROADWORTHY_ENCRYPTION_KEYS", key(1))
    async with testing.running(service):
        yield


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logging.configure("json", "debug", stream)
    yield stream
    logging.configure()


@asynccontextmanager
async def worker(keys: str | None = key(1), name: str = "w") -> AsyncIterator[None]:
    binding = service.binding("test")
    spec = service.spec
    made = Worker(
        binding.engine,
        spec.jobs,
        spec.queues,
        name=name,
        metrics=binding.metrics,
        poll=seconds(0.01),
        keys=keys_of(keys),
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(made.run(stop, seconds(5)))
        try:
            yield
        finally:
            stop.set()


async def until(met: Any) -> None:
    async with asyncio.timeout(60):
        while not await met():
            await asyncio.sleep(0.01)


async def state(id: int) -> str | None:
    found = await service.binding("test").engine.operations.find(id)
    return None if found is None else found.state


async def test_a_snooze_is_no_failure(running: None) -> None:
    await snooze.enqueue(3)
    await testing.drain(service)
    assert calls == [(1, 0), (1, 1), (1, 2), (1, 3)]
    assert testing.metric(service, "jobs_finished_total", queue="work", job="snooze", outcome="snoozed") == 3
    assert testing.metric(service, "jobs_finished_total", queue="work", job="snooze", outcome="retried") == 0
    with pytest.raises(ValueError, match="negative"):
        Snooze(timedelta(seconds=-1))


async def test_who_gives_up_is_dead_at_once(running: None) -> None:
    id = await give_up.enqueue()
    await testing.drain(service)
    found = await service.binding("test").engine.operations.find(id or 0)
    assert found is not None
    assert (found.state, found.attempt) == ("dead", 1)
    assert found.failures[-1]["message"] == "this payload will never be understood"


async def test_results_come_back_as_they_were_annotated(running: None) -> None:
    first, second = await add.enqueue([1, 2]), await add_in_thread.enqueue(3, 4)
    assert first is not None
    assert second is not None
    with pytest.raises(NoResult, match=r"is ready; wait") as waiting:
        await add.result(first)
    assert waiting.value.state == "ready"
    await testing.drain(service)
    assert await add.result(first) == Sum(3, [1, 2])
    assert await add_in_thread.wait(second, timeout=seconds(5)) == 7
    for id, job in ((second, add), (10**9, add)):
        with pytest.raises(NoResult, match="not known") as unknown:
            await job.result(id)
        assert unknown.value.state == "unknown"


async def test_a_result_that_is_no_such_thing_is_a_failure(running: None) -> None:
    id = await lie.enqueue()
    await testing.drain(service)
    found = await service.binding("test").engine.operations.find(id or 0)
    assert found is not None
    assert found.failures[-1]["error_class"] == f"{InvalidResult.__module__}.InvalidResult"


async def test_who_waits_for_a_result_hears_when_there_will_be_none(running: None) -> None:
    id = await endless.enqueue()
    assert id is not None
    with pytest.raises(TimeoutError):
        await endless.wait(id, timeout=seconds(0.05))
    waiting = asyncio.create_task(endless.wait(id, timeout=seconds(20)))
    assert await endless.cancel(id) == 1
    with pytest.raises(NoResult, match="was cancelled"):
        await waiting
    dead = await give_up.enqueue()
    await testing.drain(service)
    with pytest.raises(NoResult, match=r"is dead, of .*GiveUp: this payload"):
        await give_up.wait(dead or 0, timeout=seconds(5))


async def test_a_running_job_is_cancelled_from_elsewhere(running: None) -> None:
    id = await endless.enqueue()
    assert id is not None

    async def ended() -> bool:
        return await state(id) == "cancelled"

    async def begun() -> bool:
        return calls == [0]

    async with worker():
        await until(begun)
        assert await endless.cancel(id) == 1
        await until(ended)
    assert testing.metric(service, "jobs_finished_total", queue="work", job="endless", outcome="cancelled") == 1


async def test_a_thread_sees_that_it_is_cancelled_and_what_it_raises_is_no_failure(running: None) -> None:
    id = await stubborn.enqueue()
    assert id is not None

    async def gone() -> bool:
        return await state(id) is None

    async def begun() -> bool:
        return bool(calls)

    async with worker():
        await until(begun)
        await stubborn.cancel(id)
        await until(gone)
    assert testing.metric(service, "jobs_finished_total", queue="work", job="stubborn", outcome="cancelled") == 1


async def test_progress_is_written_seldom_and_at_the_end(running: None, monkeypatch: pytest.MonkeyPatch) -> None:
    flows: Any = service.binding("test").engine.flows
    written: list[bytes] = []
    original = flows.progress

    async def counting(id: int, lease: int, progress: bytes) -> bool:
        written.append(progress)
        return bool(await original(id, lease, progress))

    monkeypatch.setattr(flows, "progress", counting)
    await report.enqueue(1000)
    await report_in_thread.enqueue()
    await testing.drain(service)
    assert len(written) <= 4
    records = await service.binding("test").engine.operations.jobs(state="succeeded")
    told = {record.job: json.loads(record.progress or b"") for record in records}
    assert told["report"] == {"done": 1000, "total": 1000, "note": "step 1000"}
    assert told["report_in_thread"] == {"done": 1, "note": "x" * 1000}


async def test_a_workflow_runs_in_its_order_and_passes_results_on(running: None) -> None:
    async with service.workflow("sums") as flow:
        parts = flow.add_many(add, [{"numbers": [n]} for n in range(3)])
        flow.after(parts).add(gather_results).then(single, 7)
        flow.after(parts[0], when="finished").add(single, n=8)
    assert testing.metric(service, "jobs_enqueued_total", queue="work", job="add") == 3
    found = await flow.state()
    assert found is not None
    assert (found.name, found.total, found.ready, found.held, found.finished) == ("sums", 6, 3, 3, False)
    await testing.drain(service)
    assert [("add", {"total": n, "of": [n]}) for n in range(3)] in calls
    assert {7, 8} <= {call for call in calls if isinstance(call, int)}
    again = await service.find_workflow(flow.id)
    assert again is not None
    assert (again.succeeded, again.finished) == (6, True)
    assert await service.find_workflow(10**9) is None


async def test_a_workflow_is_added_with_its_transaction_or_not_at_all(running: None) -> None:
    with pytest.raises(ArithmeticError):
        async with database.transaction():
            async with service.workflow("undone") as flow:
                flow.add(single, 1)
            assert len(await service.binding("test").engine.flows.members(flow.id)) == 1
            raise ArithmeticError
    assert await service.find_workflow(flow.id) is None
    with pytest.raises(ArithmeticError):
        async with service.workflow("never") as flow:
            flow.add(single, 1)
            raise ArithmeticError
    async with database.acquire() as connection, connection.transaction():
        async with service.workflow("mine", connection=connection) as flow:
            flow.add(single, 1)
        assert await service.find_workflow(flow.id) is None
    assert await service.find_workflow(flow.id) is not None


async def test_a_workflow_says_what_cannot_be(running: None) -> None:
    async with service.workflow("one") as one:
        first = one.add(single, 1)
    with pytest.raises(ValueError, match="member of another"):
        async with service.workflow("two") as two:
            two.after(first)
    with pytest.raises(ValueError, match="keep="):
        service.workflow("five", keep=seconds(0))
    wrong: Any = "maybe"
    with pytest.raises(ValueError, match="'refuse' or 'skip'"):
        service.workflow("six", on_taken=wrong)
    with pytest.raises(ValueError, match="'succeeded' or 'finished'"):
        service.workflow("seven").after(when=wrong)
    with pytest.raises(NotRunning, match="added when its block ends"):
        assert service.workflow("eight").id
    with pytest.raises(ValueError, match="added already"):
        one.add(single, 2)
    with pytest.raises(UniqueKeyTaken, match="single"):
        async with service.workflow("three") as three:
            three.add(single, 1)
    async with service.workflow("four", on_taken="skip") as four:
        skipped = four.add(single, 1)
        four.after(skipped).add(single, 2)
    assert (four.skipped, skipped.id) == (1, None)
    await testing.drain(service)
    assert sorted(calls) == [1, 2]


async def test_a_workflow_is_cancelled_whole(running: None) -> None:
    async with service.workflow("long") as flow:
        flow.add(endless, 1).then(single, 1)
        flow.add(single, 2).then(endless, 2)
    assert await service.cancel_workflow(flow.id) == 4
    found = await flow.state()
    assert found is not None
    assert (found.cancelled, found.finished) == (4, True)


async def test_a_batch_of_many_ends_with_one_job_after_it(running: None) -> None:
    async with service.workflow("batch") as flow:
        members = flow.add_many(single, [{"n": n} for n in range(6000)])
        flow.after(members).add(gather_results)
    assert len({member.id for member in members}) == 6000
    await testing.drain(service, timeout=seconds(60))
    assert calls[-1] == []
    assert len(calls) == 6001


async def test_older_arguments_are_upgraded_when_they_are_run(running: None) -> None:
    engine = service.binding("test").engine
    await engine.enqueue(
        [
            NewJob("work", "greet", b'{"name":"Ada Lovelace"}', 3),
            NewJob("work", "greet", b'{"first":"Alan","last":"Turing"}', 3, options=JobOptions(version=2)),
        ]
    )
    await greet.enqueue("Grace", "Hopper", "Dr")
    await testing.drain(service)
    assert calls == [("Ada", "Lovelace", None), ("Alan", "Turing", None), ("Grace", "Hopper", "Dr")]


async def test_newer_arguments_are_left_to_a_newer_process(running: None, log: io.StringIO) -> None:
    engine = service.binding("test").engine
    (id,) = await engine.enqueue([NewJob("work", "greet", b"{}", 3, options=JobOptions(version=4))])
    (worn,) = await engine.enqueue([NewJob("work", "greet", b"{}", 1, options=JobOptions(version=4, snoozes=240))])
    await testing.drain(service)
    found = await engine.operations.find(id or 0)
    assert found is not None
    assert (found.state, found.attempt, found.snoozes, found.failures) == ("scheduled", 0, 1, ())
    assert "deploy the newer one everywhere" in log.getvalue()
    assert await state(worn or 0) == "dead", "after an hour, nobody newer is to be expected"


async def everything() -> str:
    """Return all that the database keeps of jobs, as text."""
    tables = ("jobs", "dead_jobs", "finished_jobs", "unique_keys", "job_failures")
    rows = [await database.fetchval(f"SELECT json_agg(one)::text FROM roadworthy.{table} AS one") for table in tables]  # noqa: S608
    return "".join(row or "" for row in rows)


async def test_an_encrypted_job_tells_nobody_what_it_was_given(running: None, log: io.StringIO) -> None:
    card = "4111 1111 1111 1111"
    id = await charge.enqueue(card)
    assert id is not None
    assert await charge.enqueue(card) is None
    assert card not in await everything()
    await testing.drain(service)
    assert calls == [card]
    assert await charge.result(id) == f"charged {card}"
    assert card not in await everything()
    dead = await charge.enqueue(card, fail=True)
    await testing.drain(service)
    assert await state(dead or 0) == "dead"
    assert await charge.enqueue(card) is None, "a dead twin is unresolved"
    found = await service.binding("test").engine.operations.find(dead or 0)
    assert found is not None
    assert unsealed(found, None) is found is not unsealed(found, keys_of(key(1)))
    assert unsealed(found, keys_of(key(2))) is found
    told = unsealed(found, keys_of(key(1)))
    assert json.loads(told.arguments) == {"card": card, "fail": True}
    assert told.failures[-1]["message"] == f"card {card} was refused"
    assert "Traceback" in told.failures[-1]["traceback"]
    assert card not in await everything()
    assert card not in log.getvalue()


async def test_keys_are_changed_while_jobs_wait(running: None) -> None:
    old = await charge.enqueue("old")
    binding = service.binding("test")
    newer: Any = keys_of(f"{key(2)},{key(1)}")
    object.__setattr__(binding, "keys", newer)
    new = await charge.enqueue("new")
    assert await charge.enqueue("old") is None, "its unique key is digested under the last key still"
    async with worker(f"{key(2)},{key(1)}"):
        assert await charge.wait(old or 0, timeout=seconds(20)) == "charged old"
        assert await charge.wait(new or 0, timeout=seconds(20)) == "charged new"


async def test_a_process_without_the_key_leaves_the_job_alone(running: None, log: io.StringIO) -> None:
    id = await charge.enqueue("4111")

    async def left() -> bool:
        return await state(id or 0) == "scheduled"

    async with worker(None):
        await until(left)
    assert "ROADWORTHY_ENCRYPTION_KEYS is not set" in log.getvalue()
    object.__setattr__(service.binding("test"), "keys", None)
    with pytest.raises(EncryptionKeyMissing, match="openssl rand"):
        await charge.enqueue("4111")


async def test_a_job_that_was_claimed_ahead_is_cancelled_before_it_begins(running: None) -> None:
    engine = service.binding("test").engine
    ids = [await endless.enqueue(n) for n in range(11)]
    async with worker():

        async def begun() -> bool:
            return len(calls) == 10

        async def one_left() -> bool:
            return not await engine.counts()

        await until(begun)
        assert await endless.cancel(*(id or 0 for id in ids)) == 11
        await until(one_left)
    assert len(calls) == 10


def test_a_claimed_job_is_plain_unless_it_says_otherwise() -> None:
    assert ClaimedJob(1, 1, "work", "add", b"{}", 1, 1, 0.0).options == JobOptions()
    assert QueueSpec("work").keep_dead is None
    assert minutes(1) == seconds(60)
