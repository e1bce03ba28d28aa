"""Breakers, retries, time-outs side by side: `python -m benchmarks.resilience [--quick] [--json] [--measure NAME]...`.

What each adds to a call that goes well, and how many of 50 callers a breaker that is half open lets through. Each round
goes through all libraries in turn. README.md in this directory tells what each measure is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog
import uvloop

from .breakers import subjects
from .breakers.subjects import Async, Broken, Sync
from .report import Report

_PACKAGES = (
    "roadworthy",
    "pybreaker",
    "aiobreaker",
    "purgatory",
    "interlock-cb",
    "hyx",
    "stamina",
    "tenacity",
    "uvloop",
)
_MEASURES = ("breakers", "half-open", "retries", "timeouts", "together")
_CALLERS = 50


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: rounds, and how many calls a turn in each has."""

    rounds: int
    calls: int


_QUICK = Size(rounds=7, calls=2_000)
_FULL = Size(rounds=31, calls=10_000)


async def _took(call: Async, calls: int) -> float:
    """Return the processor time of one call in nanoseconds."""
    began = time.thread_time_ns()
    for _ in range(calls):
        await call()
    return (time.thread_time_ns() - began) / calls


def _took_sync(call: Sync, calls: int) -> float:
    began = time.thread_time_ns()
    for _ in range(calls):
        call()
    return (time.thread_time_ns() - began) / calls


async def _add(report: Report, size: Size, measure: str, guards: Mapping[str, Callable[[Async], Async]]) -> None:
    """Measure what each adds to a call that returns at once."""
    guarded = {name: around(subjects.answer) for name, around in guards.items()}
    for call in guarded.values():
        await _took(call, size.calls // 4)
    for _ in range(size.rounds):
        bare = await _took(subjects.answer, size.calls)
        for name, call in guarded.items():
            added = await _took(call, size.calls) - bare
            report.add(measure, name, added, unit="ns", better="less")


def _add_sync(report: Report, size: Size, measure: str, guards: Mapping[str, Callable[[Sync], Sync]]) -> None:
    guarded = {name: around(subjects.answer_sync) for name, around in guards.items()}
    for call in guarded.values():
        _took_sync(call, size.calls // 4)
    for _ in range(size.rounds):
        bare = _took_sync(subjects.answer_sync, size.calls)
        for name, call in guarded.items():
            added = _took_sync(call, size.calls) - bare
            report.add(measure, name, added, unit="ns", better="less")


def _beyond(report: Report, who: str, name: str, let_through: int, refused: int, declared: int) -> None:
    measure = f"let through half open beyond those declared, {_CALLERS} {who}"
    report.add(measure, name, max(let_through - declared, 0), unit="calls", better="less")
    waiting = _CALLERS - let_through - refused
    report.add(f"made to wait for those, {_CALLERS} {who}", name, waiting, unit="callers", better="less")


async def _half_open(report: Report) -> None:
    """Have an opened breaker meet 50 tasks once its wait is over, the calls of which do not end."""
    for name, subject in (await subjects.half_opens()).items():
        release, let_through, refused = asyncio.Event(), 0, 0

        async def fail() -> None:
            raise Broken

        async def wait(release: asyncio.Event = release) -> None:
            nonlocal let_through
            let_through += 1
            await release.wait()

        async def one(call: Async) -> None:
            nonlocal refused
            try:
                await call()
            except Exception:
                refused += 1

        for _ in range(5):
            with contextlib.suppress(Exception):
                await subject.around(fail)()
        await asyncio.sleep(subjects.SHORT * 2)
        call = subject.around(wait)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for _ in range(_CALLERS):
                group.create_task(one(call))
            await asyncio.sleep(0.1)
            _beyond(report, "tasks", name, let_through, refused, subject.declared)
            release.set()


def _half_open_sync(report: Report) -> None:
    """Have an opened breaker meet 50 threads."""
    for name, subject in subjects.half_opens_sync().items():
        release, lock = threading.Event(), threading.Lock()
        counts = {"through": 0, "refused": 0}

        def count(what: str, lock: threading.Lock = lock, counts: dict[str, int] = counts) -> None:
            with lock:
                counts[what] += 1

        def fail() -> None:
            raise Broken

        def wait(count: Callable[[str], None] = count, release: threading.Event = release) -> None:
            count("through")
            release.wait(10)

        def one(call: Sync, count: Callable[[str], None] = count) -> None:
            try:
                call()
            except Exception:
                count("refused")

        for _ in range(5):
            with contextlib.suppress(Exception):
                subject.around(fail)()
        time.sleep(subjects.SHORT * 2)
        call = subject.around(wait)
        with ThreadPoolExecutor(_CALLERS) as pool:
            for _ in range(_CALLERS):
                pool.submit(one, call)
            time.sleep(0.3)
            _beyond(report, "threads", name, counts["through"], counts["refused"], subject.declared)
            release.set()


async def run(size: Size, measures: list[str], report: Report) -> None:
    """Measure what is asked for."""
    if "breakers" in measures:
        await _add(report, size, "closed breaker, async", await subjects.breakers())
        _add_sync(report, size, "closed breaker, sync", subjects.breakers_sync())
        await _add(report, size, "closed breaker, async, last 60 s and slow calls", subjects.timed_breakers())
    if "half-open" in measures:
        await _half_open(report)
        await asyncio.to_thread(_half_open_sync, report)
    if "retries" in measures:
        await _add(report, size, "retry, nothing fails", subjects.retries())
    if "timeouts" in measures:
        await _add(report, size, "time-out, in time", subjects.timeouts())
    if "together" in measures:
        await _add(report, size, "breaker, retry and time-out", subjects.Together.make().guards())


def main() -> None:
    """Parse the command line, measure, and print."""
    logging.disable(logging.CRITICAL)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resilience", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="seven short rounds: some seconds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--measure", action="append", choices=_MEASURES, help="only these (may be repeated)")
    options = parser.parse_args()
    report = Report("resilience", _PACKAGES)
    uvloop.run(run(_QUICK if options.quick else _FULL, options.measure or list(_MEASURES), report))
    print(report.as_json() if options.json else report.as_table())


if __name__ == "__main__":
    main()
