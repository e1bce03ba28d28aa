"""What a get costs while Redis hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from pathlib import Path

from benchmarks.queues import servers

from .subject import AsyncCall, Subject, load


async def added(kind: type[Subject], postgres: str, program: str, directory: Path, calls: int) -> tuple[float, float]:
    """Return the milliseconds of the first call after Redis was stopped in its tracks, and the median of later ones."""
    async with servers.redis(program, directory) as redis:
        subject = kind(redis.url, postgres)
        await subject.open()
        try:
            call = subject.over_shared(load)
            await call("warm")
            os.kill(redis.pid, signal.SIGSTOP)
            try:
                first = await _milliseconds(call, "warm")
                later = [await _milliseconds(call, f"later-{number % 3}") for number in range(calls)]
            finally:
                os.kill(redis.pid, signal.SIGCONT)
        finally:
            await subject.close()
        return first, statistics.median(later)


async def _milliseconds(call: AsyncCall, key: str) -> float:
    began = time.perf_counter()
    async with asyncio.timeout(30):
        await call(key)
    return (time.perf_counter() - began) * 1000
