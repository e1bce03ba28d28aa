"""Eight processes that take what they can of the same counters: together they get no more than the quota."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from roadworthy.limits.quota import BURSTING, Quota
from roadworthy.limits.spec import LimitSpec

from .stores import LEASED, SHARED, STORMED, Kind

TESTS = Path(__file__).parents[2]
PROCESSES = 8
SECONDS = 2.0
LIMIT = 120

pytestmark = pytest.mark.timeout(2 * LIMIT)


@asynccontextmanager
async def _started(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "conformance.limits.storming", *arguments),
        cwd=TESTS,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


def _most(quota: Quota, seconds: float) -> int:
    """The most units in a stretch of that many seconds, which is shorter than the period."""
    if quota.algorithm in BURSTING:
        return quota.capacity + int(seconds / quota.spacing)
    return quota.most_in_period


@pytest.mark.parametrize("kind", SHARED)
async def test_no_more_is_admitted_than_the_quota(kind: Kind, url: str) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(LIMIT):
        arguments = kind, url, uuid4().hex, str(SECONDS)
        processes = [await stack.enter_async_context(_started(*arguments)) for _ in range(PROCESSES)]
        for process in processes:
            assert await _line(process) == "ready"
        began = time.monotonic()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")
        reports: list[dict[str, int]] = [json.loads(await _line(process)) for process in processes]
    took = time.monotonic() - began
    granted: Tally[str] = Tally()
    for report in reports:
        granted.update(report)
    for quota in STORMED:
        assert quota.count <= granted[quota.algorithm] <= _most(quota, took), quota.algorithm
    assert min(quota.count for quota in STORMED) <= granted["together"] <= min(_most(quota, took) for quota in STORMED)
    ahead = LimitSpec("leased", (LEASED,)).most_ahead
    # What is held by one is not had by others, but nothing that is held was not counted.
    assert LEASED.count - PROCESSES * ahead <= granted["leased"] <= _most(LEASED, took) + PROCESSES * ahead
