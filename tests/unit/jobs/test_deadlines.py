"""Attempts that must end, and those that do not."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from roadworthy import Service, current_job, seconds
from roadworthy.telemetry import logging
from unit.jobs.stage import events, spec_of, working


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logging.configure("json", "debug", stream)
    yield stream
    logging.configure()


async def test_one_that_swallows_its_cancellation_is_reported_and_keeps_its_slot(
    monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._AFTER_CANCEL", 0.05)
    gate = asyncio.Event()

    async def stubborn() -> None:
        job = current_job()
        assert job is not None
        while job.attempt == 1 and not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    async with working(spec_of(stubborn, timeout=timedelta(milliseconds=30)), concurrency=2) as stage:
        await stage.enqueue("stubborn")
        await stage.emptied()
        assert stage.worker._lanes["work"].stuck == 1
        assert stage.worker._lanes["work"].free == 1
        gate.set()

        async def freed() -> bool:
            return stage.worker._lanes["work"].stuck == 0

        await stage.until(freed)
    assert (stage.count("stubborn", "retried"), stage.count("stubborn", "succeeded")) == (1, 1)
    (failed,) = [line for line in events(log) if line["event"] == "job failed"]
    assert failed["error_class"] == "TimeoutError"


async def test_a_lost_lease_of_a_stubborn_job_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.jobs.worker._AFTER_CANCEL", 0.05)
    gate = asyncio.Event()

    async def stubborn() -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    async with working(spec_of(stubborn), concurrency=2) as stage:
        await stage.enqueue("stubborn")
        await stage.came_to("running")
        (held,) = stage.worker._held.values()
        stage.worker._cancel(held, "lease lost")

        async def forgotten() -> bool:
            return not stage.worker._held

        await stage.until(forgotten)
        assert stage.count("stubborn", "fenced") == 1
        gate.set()


async def test_an_attempt_that_ends_in_time_is_not_cut() -> None:
    async def quick() -> None:
        await asyncio.sleep(0)

    async with working(spec_of(quick, timeout=timedelta(milliseconds=500))) as stage:
        await stage.enqueue("quick")
        await stage.emptied()
        await asyncio.sleep(0.6)
    assert stage.count("quick", "succeeded") == 1


def test_a_queue_has_a_timeout_for_jobs_that_declare_none() -> None:
    service = Service("shop")
    queue = service.queue("mail", timeout=seconds(30))

    @queue.job()
    async def usual() -> None: ...

    @queue.job(timeout=seconds(5))
    def own() -> None: ...

    assert {job.name: (job.timeout, job.runs) for job in service.spec.jobs} == {
        "usual": (seconds(30), "loop"),
        "own": (seconds(5), "thread"),
    }


async def test_a_job_that_blocks_the_loop_is_named_with_its_stack(
    monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setattr("roadworthy.jobs.watchdog._FIRST_WORDS", 0.1)
    monkeypatch.setattr("roadworthy.jobs.watchdog._EVERY", 0.02)

    async def blocks() -> None:
        until = time.monotonic() + 60
        while "is blocked" not in log.getvalue() and time.monotonic() < until:
            time.sleep(0.05)  # noqa: ASYNC251

    async with working(spec_of(blocks)) as stage:
        await stage.enqueue("blocks")
        await stage.emptied()
    told = [line for line in events(log) if line["event"].startswith("the event loop is blocked")]
    assert told
    assert (told[0]["job"], told[0]["queue"]) == ("blocks", "work")
    assert "time.sleep(0.05)" in told[0]["stack"]


async def test_a_loop_blocked_for_longer_than_a_lease_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.jobs.watchdog._EVERY", 0.02)
    abandoned = threading.Event()

    async def blocks() -> None:
        assert abandoned.wait(20)

    async with working(spec_of(blocks), lease=timedelta(seconds=1), abandon=abandoned.set) as stage:
        await stage.enqueue("blocks")
        await stage.emptied()
    assert stage.count("blocks", "succeeded") == 1
