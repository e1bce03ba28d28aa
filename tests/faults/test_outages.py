"""The short version of the outages: Vitals, whose PostgreSQL and Redis are slow and hang while it is asked."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.mark.needs("redis-server")
async def test_what_is_slow_or_hangs_takes_nothing_along_and_all_heals() -> None:
    arguments = ["--quick", "--json", "--only", "vitals", "--disturb", "slow", "--disturb", "hangs"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.outages", *arguments, cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(110):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    result = json.loads(output)
    assert {row["kind"]: row["outcomes"] for row in result["outages"] if row["broken"]} == {}
    assert process.returncode == 0
    assert result["holds"] is True
    assert {(row["dependency"], row["behaviour"]) for row in result["outages"]} == {
        (dependency, behaviour) for dependency in ("PostgreSQL", "Redis") for behaviour in ("slow", "hangs")
    }
