"""Four processes write the same names of one store at once: all hear the same, and the newest stamp stays."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from roadworthy.cache.record import STAMP, Entry, encode
from roadworthy.cache.store import Write

from .hammering import NAMES
from .stores import SHARED, Backend

TESTS = Path(__file__).parents[2]
ROUNDS = 100
LIMIT = 60


class Process:
    """One that hammers, spoken to by lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def says(self, wanted: str | None = None) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT):
            line = (await self._process.stdout.readline()).decode().strip()
        assert wanted in (None, line), f"it said {line!r} and ended with {self._process.returncode}"
        return line

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")


@asynccontextmanager
async def started(backend: Backend, node: int) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "conformance.cache.hammering"),
        *(backend.kind, backend.url, backend.service, str(node), str(ROUNDS)),
        cwd=TESTS,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def hammered(backend: Backend) -> list[dict[str, list[Any]]]:
    """Let four processes hammer, and return what each tells."""
    async with AsyncExitStack() as stack, asyncio.timeout(2 * LIMIT):
        processes = [await stack.enter_async_context(started(backend, node)) for node in range(1, 5)]
        for process in processes:
            await process.says("ready")
        for process in processes:
            process.begin()
        for process in processes:
            await process.says("done")
        async with backend.open(0) as store:
            await store.write([Write("end", encode(Entry(b"", 1, 2e9, 2e9)), 1, 60)])
        return [json.loads(await process.says()) for process in processes]


@pytest.mark.parametrize("kind", SHARED, indirect=True)
async def test_the_newest_stamp_stays_and_all_hear_the_same_in_one_order(backend: Backend) -> None:
    reports = await hammered(backend)
    heard = [[tuple(change) for change in report["heard"]] for report in reports]
    assert len({tuple(one) for one in heard}) == 1, "nodes heard of changes in different orders"

    written: dict[tuple[str, int], int] = {}
    told: dict[str, list[int]] = defaultdict(list)
    for action, name, stamp, sender in heard[0]:
        told[f"{'tag ' if action == 'tag' else ''}{name}"].append(stamp)
        if action != "tag":
            written[name, stamp] = sender
    assert all(stamps == sorted(stamps) for stamps in told.values()), "a stamp fell"
    assert [report["fallen"] for report in reports] == [[]] * 4, "a reader saw a stamp fall"
    for node, report in enumerate(reports, start=1):
        kept = {(name, stamp) for name, stamp, was_kept in report["answers"] if was_kept}
        assert kept == {write for write, sender in written.items() if sender == node}

    newest = {name: max(s for report in reports for n, s, _ in report["answers"] if n == name) for name in NAMES}
    async with backend.open(0) as store:
        records = await store.get_many(NAMES)
        (tag,) = await store.tag_stamps(["tag"])
    assert {n: int.from_bytes(r[STAMP]) for n, r in zip(NAMES, records, strict=True) if r is not None} == newest
    assert tag == told["tag tag"][-1]
