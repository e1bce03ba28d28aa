"""What becomes of requests while Redis is away: `python -m benchmarks.limiters.outage SUBJECT URL REQUESTS`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

from benchmarks.http import _receive, _scope
from benchmarks.http_applications import Application
from benchmarks.queues import servers
from benchmarks.report import OURS, Report

from .applications import LIMITED

_PATIENCE = 2.0
"""Seconds after which a client of the benchmark goes away."""
_STUCK = 8.0
"""Seconds after which an application whose event loop stands still is given up."""
_BEAT = 0.002
_SUBJECTS = (OURS, "slowapi, decorator", "fastapi-limiter", "throttled-py, decorator")


async def measure(report: Report, program: str, directory: Path, *, requests: int) -> None:
    """Add the longest wait, the longest stall of the event loop and the share of answers, each Redis being away."""
    for what, how in (("refuses connections", signal.SIGKILL), ("hangs", signal.SIGSTOP)):
        for subject in _SUBJECTS:
            async with servers.redis(program, directory) as server:
                try:
                    wait, stall, answered = await _watched(subject, server, how, requests)
                finally:
                    if how is signal.SIGSTOP:
                        os.kill(server.pid, signal.SIGCONT)
            report.add(f"longest wait, Redis {what}", subject, wait, unit="ms", better="less")
            report.add(f"longest stall of the event loop, Redis {what}", subject, stall, unit="ms", better="less")
            report.add(f"requests answered, Redis {what}", subject, answered, unit="%", better="more")


async def _watched(subject: str, server: servers.Redis, how: int, requests: int) -> tuple[float, float, float]:
    command = [sys.executable, "-m", "benchmarks.limiters.outage", subject, server.url, str(requests)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            if await process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"{subject} did not answer while Redis was there")
        os.kill(server.pid, how)
        process.stdin.write(b"go\n")
        try:
            async with asyncio.timeout(_STUCK + requests * _PATIENCE):
                said = json.loads(await process.stdout.readline())
        except TimeoutError:
            stuck = (_STUCK + requests * _PATIENCE) * 1000
            return stuck, stuck, 0.0
        return said["wait"], said["stall"], said["answered"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class _Heart:
    """Beats on the event loop, and knows the longest pause between two beats, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def beat(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(_BEAT)
            now = time.perf_counter()
            self.longest = max(self.longest, now - before - _BEAT)
            before = now


async def _ask(subject: str, url: str, requests: int) -> None:
    async with LIMITED[subject](url) as app:
        if await _status(app) != 200:
            raise RuntimeError("no answer while Redis is there")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        heart, waits, answered = _Heart(), [], 0
        beating = asyncio.create_task(heart.beat())
        for _ in range(requests):
            began = time.perf_counter()
            # What escapes the application, a server answers with a 500.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_PATIENCE):
                    answered += await _status(app) == 200
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(_BEAT * 5)
        beating.cancel()
        answer = {"wait": max(waits) * 1000, "stall": heart.longest * 1000, "answered": 100 * answered / requests}
        print(json.dumps(answer), flush=True)


async def _status(app: Application) -> int:
    status = 0

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    await app(_scope("/items/7"), _receive, send)
    return status


def main() -> None:
    """Say that it is ready, wait for a line, and print what was seen."""
    logging.disable(logging.CRITICAL)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    subject, url, requests = sys.argv[1:]
    asyncio.run(_ask(subject, url, int(requests)))
    # What hangs in a client of Redis is not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
