"""The short version of the outages: Vitals, whose PostgreSQL and Redis are slow, hang and are cut off."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
DISTURBED = ("slow", "hangs", "cut off")


@pytest.mark.needs("redis-server")
@pytest.mark.timeout(600)
async def test_what_is_slow_hangs_or_is_cut_off_takes_nothing_along_and_all_heals() -> None:
    # The benchmark holds the service to its times; beside other tests it may take longer.
    arguments = ["--quick", "--json", "--only", "vitals", "--generous", "10"]
    arguments += [part for way in DISTURBED for part in ("--disturb", way)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.outages", *arguments, cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(500):
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
        (dependency, behaviour) for dependency in ("PostgreSQL", "Redis") for behaviour in DISTURBED
    }
