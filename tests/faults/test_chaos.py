"""The short version of the chaos: half a minute, every disturbance at least once."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
async def test_nothing_is_lost_doubled_or_crowded() -> None:
    arguments = ["--quick", "--seed", "3", "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.chaos", *arguments, cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(500):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    result = json.loads(output)
    assert result["judgement"]["wrong"] == dict.fromkeys(result["judgement"]["wrong"], 0)
    assert process.returncode == 0
    assert result["holds"] is True
    done = result["disturbances"]
    assert {"worker killed -9", "worker paused past its lease", "all connections terminated"} <= done.keys()
    assert "PostgreSQL restarted, immediate mode" in done
    assert result["in_hand"]
    counted = result["judgement"]["counted"]
    assert counted["effects"] > 100
    assert counted["effects of a later attempt"] > 0
