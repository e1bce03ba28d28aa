"""Jobs that are plain functions: in threads of the worker, with its context, its loop and its limits."""

from __future__ import annotations

import asyncio
import functools
import io
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from roadworthy import current_job, from_thread
from roadworthy.errors import DeclarationError, WorkerStuck
from roadworthy.telemetry import logging
from unit.jobs.stage import events, spec_of, working


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logging.configure("json", "debug", stream)
    yield stream
    logging.configure()


async def test_a_plain_function_runs_beside_the_loop_and_knows_its_job(log: io.StringIO) -> None:
    seen: list[tuple[int, int, bool]] = []
    main = threading.get_ident()

    def note(n: int) -> None:
        job = current_job()
        assert job is not None
        logging.get_logger("test").info("inside")
        seen.append((n, job.attempt, threading.get_ident() == main))

    async with working(spec_of(note)) as stage:
        await stage.enqueue("note", n=7)
        await stage.emptied()
    assert seen == [(7, 1, False)]
    assert stage.count("note", "succeeded") == 1
    (line,) = [line for line in events(log) if line["event"] == "inside"]
    assert (line["job"], line["job_id"]) == ("note", 1)


async def test_as_many_run_at_once_as_the_queue_allows_in_as_many_threads() -> None:
    meeting = threading.Barrier(3)
    threads: set[str] = set()

    def meet() -> None:
        threads.add(threading.current_thread().name)
        meeting.wait(20)

    async with working(spec_of(meet), concurrency=3) as stage:
        await stage.enqueue("meet", 9)
        await stage.emptied()
    assert stage.count("meet", "succeeded") == 9
    assert len(threads) == 3


async def test_what_a_plain_function_raises_is_its_failure() -> None:
    def stops() -> None:
        raise StopIteration("odd")

    async with working(spec_of(stops)) as stage:
        await stage.enqueue("stops", attempts=1)
        await stage.came_to("dead")
        failure = await stage.failure()
    assert failure["message"].endswith("StopIteration")
    assert "odd" in failure["traceback"]


async def test_a_coroutine_that_nobody_awaits_is_no_success() -> None:
    async def work() -> None:
        """Never begin."""

    def hidden() -> object:
        return work()

    @functools.wraps(work)
    def wrapped() -> object:
        return work()

    with pytest.raises(DeclarationError, match="an async function inside a plain one"):
        spec_of(wrapped)
    async with working(spec_of(hidden)) as stage:
        await stage.enqueue("hidden", attempts=1)
        await stage.came_to("dead")
        assert "instead of awaiting it" in (await stage.failure())["message"]


async def test_past_its_timeout_what_it_awaits_is_cancelled() -> None:
    def awaits() -> None:
        from_thread(asyncio.sleep(3600))

    async with working(spec_of(awaits, timeout=timedelta(milliseconds=50))) as stage:
        await stage.enqueue("awaits", attempts=1)
        await stage.came_to("dead")
        failure = await stage.failure()
    assert failure["error_class"] == "TimeoutError"
    assert "longer than its timeout" in failure["message"]


async def test_one_that_was_cut_cannot_begin_to_await_again() -> None:
    begun, refused = threading.Event(), threading.Event()

    def late() -> None:
        begun.set()
        time.sleep(0.2)
        try:
            from_thread(asyncio.sleep(0))
        except asyncio.CancelledError:
            refused.set()
            raise

    async with working(spec_of(late), grace=0.01) as stage:
        await stage.enqueue("late")
        while not begun.is_set():
            await asyncio.sleep(0.005)
        await stage.ended()
        assert await asyncio.to_thread(refused.wait, 10)
    assert await stage.states() == ["ready"]


async def test_one_that_finishes_after_it_was_cut_has_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._SHORTEST_TAIL", 30.0)
    gate = threading.Event()

    def slow() -> None:
        gate.wait(30)

    async with working(spec_of(slow), grace=0.01) as stage:
        await stage.enqueue("slow")
        await stage.came_to("running")
        (held,) = stage.worker._held.values()
        stage.stop.set()

        async def cut() -> bool:
            return held.cut == "drain"

        await stage.until(cut)
        gate.set()
        await stage.ended()
    assert await stage.states() == []
    assert stage.count("slow", "succeeded") == 1


async def test_a_hung_thread_is_given_up_and_keeps_its_slot(monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._AFTER_CANCEL", 0.05)
    gate, attempts = threading.Event(), []

    def hangs() -> None:
        job = current_job()
        assert job is not None
        attempts.append(job.attempt)
        if job.attempt == 1:
            gate.wait(30)

    async with working(spec_of(hangs, timeout=timedelta(milliseconds=50)), concurrency=2) as stage:
        await stage.enqueue("hangs")
        await stage.emptied()
        assert attempts == [1, 2], "it is tried again in the slot that is left"
        assert stage.worker._lanes["work"].free == 1
        assert stage.worker.consumes
        gate.set()

        async def freed() -> bool:
            return stage.worker._lanes["work"].free == 2

        await stage.until(freed)
    assert stage.count("hangs", "retried") == 1
    assert stage.count("hangs", "succeeded") == 1
    assert "an attempt that was given up has ended" in log.getvalue()


async def test_a_worker_whose_slots_are_all_stuck_says_so_and_ends(
    monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._AFTER_CANCEL", 0.05)
    monkeypatch.setattr("roadworthy.jobs.worker._STUCK_AT_MOST", 0.1)
    gate = threading.Event()

    def hangs() -> None:
        gate.wait(30)

    spec = spec_of(hangs, timeout=timedelta(milliseconds=50))
    try:
        async with working(spec, concurrency=2, grace=0.1) as stage:
            await stage.enqueue("hangs", 3, attempts=1)
            await asyncio.wait([stage.task], timeout=60)
            with pytest.raises(WorkerStuck, match="all slots of queue 'work'"):
                await stage.task
            assert not stage.worker.consumes
        assert sorted(await stage.states()) == ["dead", "dead", "ready"]
    finally:
        gate.set()
    assert "the worker can take no jobs any more and ends" in log.getvalue()


async def test_a_drain_does_not_wait_for_a_hung_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._AFTER_CANCEL", 0.05)
    gate, begun = threading.Event(), threading.Event()

    def hangs() -> None:
        begun.set()
        gate.wait(30)

    try:
        async with working(spec_of(hangs), grace=0.01) as stage:
            await stage.enqueue("hangs")
            while not begun.is_set():
                await asyncio.sleep(0.005)
            await stage.ended(10)
        (record,) = await stage.engine.operations.jobs()
        assert (record.state, record.attempt) == ("ready", 0), "returned, the attempt not counted"
    finally:
        gate.set()
