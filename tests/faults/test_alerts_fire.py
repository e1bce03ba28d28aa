"""The short version of the alerts: Vitals, a few of whose alerts fire by their cause, reach somebody, and end."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.mark.needs("amtool")
@pytest.mark.needs("prometheus")
@pytest.mark.needs("redis-server")
async def test_what_is_wrong_is_told_to_whom_it_concerns_and_so_is_that_it_is_over() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.alerts", "--quick", "--json", "--only", "vitals"),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(280):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    [vitals] = json.loads(output)["services"]
    assert vitals["targets_up"] == vitals["targets"] > 1
    assert vitals["unhealthy"] == {}
    assert vitals["mutings"] == []
    assert vitals["switch_calls"] > 0
    assert {row["alert"]: (row["got"], row["broken"]) for row in vitals["rows"]} == {
        "EventLoopLagging": (["chat"], []),
        "FileDescriptorsRunningOut": (["page"], []),
        "RedisDown": (["page"], []),
    }
