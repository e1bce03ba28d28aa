"""A worker whose jobs never end does not stay: it says why, and its process ends, whatever its loop and threads do."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from roadworthy import Service
from roadworthy.database import migration
from roadworthy.database.pool import Pool
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.postgres import PostgresEngine
from roadworthy.runtime.lifecycle import migrations
from roadworthy.runtime.roles import BLOCKED

_SCRIPT = Path(__file__).with_name("hanging_process.py")


async def _run(dsn: str) -> tuple[int, list[str], str]:
    """Work until the worker ends by itself; return its exit code, the events in its log and what it said last."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")}
    settings = {"DATABASE_URL": dsn, "ROADWORTHY_OPERATIONS_PORT": "0", "ROADWORTHY_LOG_FORMAT": "json"}
    arguments = [str(_SCRIPT), "work", f"{_SCRIPT}:service"]
    settings["ROADWORTHY_DRAIN_SECONDS"] = "1"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={**kept, **settings},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = errors.decode().splitlines()
    assert process.returncode is not None
    return process.returncode, [json.loads(line)["event"] for line in lines if line.startswith("{")], lines[-1]


@pytest.mark.parametrize("job", ["swallows", "waits"])
async def test_one_without_a_free_slot_ends(dsn: str, pool: Pool, job: str) -> None:
    await migration.apply(dsn, migrations(Service("hanging").spec))
    engine = PostgresEngine(pool, dsn)
    try:
        (id,) = await engine.enqueue([NewJob("work", job, b"{}", 3)])
        code, events, last = await _run(dsn)
        assert id is not None
        record = await engine.operations.find(id)
    finally:
        await engine.close()
    assert code == 2
    assert "the worker can take no jobs any more and ends" in events
    assert "all slots of queue 'work' were taken by jobs that do not end" in last
    assert record is not None
    assert record.failures[0]["error_class"] == "TimeoutError"


async def test_one_whose_loop_is_blocked_ends(dsn: str, pool: Pool) -> None:
    await migration.apply(dsn, migrations(Service("hanging").spec))
    engine = PostgresEngine(pool, dsn)
    try:
        await engine.enqueue([NewJob("work", "blocks", b"{}", 3)])
        code, events, _ = await _run(dsn)
    finally:
        await engine.close()
    assert code == BLOCKED
    assert events[-1] == "the event loop has been blocked for longer than a lease lasts; the process ends"
    assert "the event loop is blocked: call what waits or computes in a thread or a process" in events
