"""Processes of one service that share a cache: one of them asks the source, and all come to agree."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from .stores import SHARED, Backend

TESTS = Path(__file__).parents[2]
ROUNDS = 1_000
KEYS = [f"key {n}" for n in range(5)]
LIMIT = 60
LONGEST = 30.0
"""Seconds after which no two processes may have different values for a key."""

pytestmark = pytest.mark.parametrize("kind", SHARED, indirect=True)


class Process:
    """One process of the service."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, *command: Any) -> Any:
        """Give it a command, and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return await self.said()

    async def said(self) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT):
            line = await self._process.stdout.readline()
        assert line, "the process ended"
        return json.loads(line)


@asynccontextmanager
async def started(count: int, backend: Backend, database: str) -> AsyncIterator[list[Process]]:
    """Start processes of one service, whose cache is in the store under test."""
    redis_url = backend.url if backend.kind == "redis" else ""
    async with AsyncExitStack() as stack:
        processes = []
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "conformance.cache.caching", database, redis_url, backend.service),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=TESTS,
            )
            stack.push_async_callback(ended, process)
            processes.append(Process(process))
        for process in processes:
            assert await process.said() == "ready"
        yield processes


async def ended(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(60):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def test_of_200_callers_in_each_of_4_processes_one_asks_the_source(
    backend: Backend, prepared_database: str
) -> None:
    async with started(4, backend, prepared_database) as processes:
        for key in ("first", "second", "third"):
            before = [(await process.do("many", "warm", 1, 0))["loads"] for process in processes]
            answers = await asyncio.gather(*(process.do("many", key, 200, 0.3) for process in processes))
            loads = [answer["loads"] - earlier for answer, earlier in zip(answers, before, strict=True)]
            assert sorted(loads) == [0, 0, 0, 1]
            assert len({value for answer in answers for value in answer["values"]}) == 1


async def test_two_processes_that_use_a_key_at_once_agree_on_it_before_long(
    backend: Backend, prepared_database: str
) -> None:
    async with started(2, backend, prepared_database) as (one, two):
        for first in range(0, ROUNDS, len(KEYS)):
            scenes = [scene(number, key) for number, key in enumerate(KEYS, start=first)]
            await asyncio.gather(
                one.do("all", [own for own, _, _ in scenes]), two.do("all", [own for _, own, _ in scenes])
            )
            await agreed(one, two, scenes)


def scene(number: int, key: str) -> tuple[list[str], list[str], set[str | None]]:
    """Return what each does at once in a round, and what the key may have afterwards."""
    mine, yours = f"{number} by one", f"{number} by the other"
    one: list[str]
    other: list[str]
    match number % 6:
        case 0 | 1:
            one, other, outcomes = ["set", key, mine], ["set", key, yours], {mine, yours}
        case 2:
            one, other, outcomes = ["set", key, mine], ["read", key], {mine}
        case 3:
            one, other, outcomes = ["delete", key], ["load", key, yours], {None, yours}
        case 4:
            one, other, outcomes = ["set", key, mine], ["load", key, yours], {mine, yours}
        case _:
            one, other, outcomes = ["invalidate", key], ["load", key, yours], {None, yours}
    return (one, other, outcomes) if number // 6 % 2 else (other, one, outcomes)


async def agreed(one: Process, two: Process, scenes: list[tuple[list[str], list[str], set[str | None]]]) -> None:
    """Wait until both have the same value for each key, one of those that are right."""
    reads = [["read", key] for key in KEYS]
    began = time.monotonic()
    while True:
        values = await asyncio.gather(one.do("all", reads), two.do("all", reads))
        pairs = list(zip(*values, scenes, strict=True))
        wrong = [pair for pair in pairs if pair[0] != pair[1] or pair[0] not in pair[2][2]]
        if not wrong:
            return
        assert time.monotonic() - began < LONGEST, f"both have had, and should by now: {wrong}"
        await asyncio.sleep(0.001)
