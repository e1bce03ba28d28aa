"""How many several processes admit of one quota: `python -m benchmarks.limiters.crowd URL SECONDS`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from benchmarks.queues import servers
from benchmarks.report import OURS, Report

from .deciders import EACH_ASKED, Decider, over_redis

PROCESSES = 4
QUOTA = 1000
_CALLERS = 16
_SUBJECTS = (
    OURS,
    EACH_ASKED,
    "limits, fixed window",
    "limits, sliding window counter",
    "limits, moving window",
    "throttled-py, gcra",
    "pyrate-limiter, gcra",
)


async def measure(report: Report, server: servers.Redis, *, seconds: float) -> None:
    """Add how much of a quota a minute four processes admit in some seconds, from a key that nobody used before."""
    what = f"admitted of {QUOTA:,} a minute, {PROCESSES} processes for {seconds:g} s"
    for measure in (what, f"{what}, each asked"):
        report.add(measure, "limit: the quota", QUOTA + QUOTA * seconds / 60, unit="units", better="less")
    command = [sys.executable, "-m", "benchmarks.limiters.crowd", server.url, str(seconds)]
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(_process(command)) for _ in range(PROCESSES)]
        for subject in _SUBJECTS:
            await server.flush()
            async with asyncio.timeout(120), asyncio.TaskGroup() as group:
                tasks = [group.create_task(_told(process, subject)) for process in processes]
            admitted = sum(task.result() for task in tasks)
            if subject != EACH_ASKED:
                report.add(what, subject, admitted, unit="units", better="less")
            if subject != OURS:
                name = OURS if subject == EACH_ASKED else subject
                report.add(f"{what}, each asked", name, admitted, unit="units", better="less")


@asynccontextmanager
async def _process(command: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _told(process: asyncio.subprocess.Process, subject: str) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{subject}\n".encode())
    return int(await process.stdout.readline())


async def _ask(subject: str, url: str, seconds: float) -> int:
    async with over_redis(url, QUOTA, 10_000) as deciders:
        decider = deciders[subject]
        await decider.call("another")
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_admitted(decider, until)) for _ in range(_CALLERS)]
        return sum(task.result() for task in tasks)


async def _admitted(decider: Decider, until: float) -> int:
    loop, admitted = asyncio.get_running_loop(), 0
    while loop.time() < until:
        for _ in range(10):
            admitted += decider.admitted(await decider.call("one"))
        # Those that answer without waiting leave the others their turn.
        await asyncio.sleep(0.001)
    return admitted


def main() -> None:
    """For each subject that is named on a line, print how many were admitted."""
    logging.disable(logging.CRITICAL)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    url, seconds = sys.argv[1:]
    for line in sys.stdin:
        print(asyncio.run(_ask(line.strip(), url, float(seconds))), flush=True)


if __name__ == "__main__":
    main()
