# ruff: noqa: A005 - the command is `python -m benchmarks.http`
"""What the HTTP stack adds to a request, beside prometheus-fastapi-instrumentator, which does its metrics alone.

    python -m benchmarks.http [--quick] [--json]

In process, requests are awaited one after the other, without a server: short rounds go through the bare application,
ours and the peer in turn, and the processor time added is each one's less the bare one's of the same round. The stack
is measured as it comes, and with a rate limit and load shedding declared for all requests. Without `--quick` each is
also served by granian and loaded by wrk, if that is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from benchmarks.http_applications import (
    BARE,
    OURS,
    PATH,
    PEER,
    SUBJECTS,
    Application,
    fastapi,
    starlette,
    variants,
    whole_variants,
)
from benchmarks.report import Report
from roadworthy.http.stack import Stack

PACKAGES = ("fastapi", "starlette", "prometheus-client", "prometheus-fastapi-instrumentator", "granian")

COUNTED = {"method": "GET", "route": "/items/{number}", "status": "200"}

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_message: MutableMapping[str, Any]) -> None:
    return None


def _scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1:8000"),
            (b"accept", b"*/*"),
            (b"accept-encoding", b"gzip, deflate"),
            (b"connection", b"keep-alive"),
            (b"user-agent", b"benchmark"),
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "extensions": {},
    }


async def microseconds(app: Application, requests: int, path: str = PATH) -> float:
    """Return the processor time of one request, over `requests` of them, when the processor's caches know `app`.

    Each has a turn of the event loop of its own, as it would have from a server.
    """
    for _ in range(requests // 10):
        await asyncio.sleep(0)
        await app(_scope(path), _receive, _send)
    scopes = [_scope(path) for _ in range(requests)]
    gc.collect()
    gc.disable()
    began = time.thread_time_ns()
    for scope in scopes:
        await asyncio.sleep(0)
        await app(scope, _receive, _send)
    took = time.thread_time_ns() - began
    gc.enable()
    return took / requests / 1000


async def _in_process(report: Report, name: str, apps: dict[str, Application], *, rounds: int, requests: int) -> None:
    ours = apps[OURS]
    assert isinstance(ours, Stack)
    async with ours.service.running():
        for _ in range(rounds):
            took = {subject: await microseconds(app, requests) for subject, app in apps.items()}
            report.add(f"request, {name}", BARE, took[BARE], unit="us", better="less")
            for subject in (OURS, PEER):
                added = took[subject] - took[BARE]
                report.add(f"added to a request, {name}", subject, added, unit="us", better="less")
        counted = ours.service.binding("the benchmark").metrics.value("http_requests_total", COUNTED)
        assert counted == rounds * (requests + requests // 10), f"{counted} requests were counted"


@contextmanager
def served(subject: str, path: str = PATH, applications: str = "benchmarks.http_applications:served") -> Iterator[str]:
    """Serve a subject's application in a process of its own; yield the address of `path`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "--no-access-log"]
    command += [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--log-level",
        "error",
        applications,
    ]
    process = subprocess.Popen(command, env=os.environ | {"BENCHMARK_SUBJECT": subject}, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}{path}"
        _wait_until_served(address)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_until_served(address: str) -> None:
    for _ in range(200):
        try:
            with urllib.request.urlopen(address, timeout=2):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"nothing answers at {address}")


def _under_load(report: Report, *, rounds: int, seconds: int) -> None:
    for _ in range(rounds):
        for subject in SUBJECTS:
            with served(subject) as address:
                command = ["wrk", "-t1", "-c64", f"-d{seconds}s", address]
                output = subprocess.run(
                    command, capture_output=True, text=True, check=True, timeout=seconds + 30
                ).stdout
            if refused := re.search(r"Non-2xx.*: (\d+)", output):
                raise RuntimeError(f"{subject} answered {refused[1]} requests with an error")
            rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
            assert rate is not None, output
            report.add("served by granian, FastAPI", subject, float(rate[1]), unit="requests/s", better="more")


async def _measure(report: Report, *, rounds: int, requests: int, kinds: dict[str, dict[str, Application]]) -> None:
    for name, apps in kinds.items():
        await _in_process(report, name, apps, rounds=rounds, requests=requests)


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="in process alone, in under a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    report = Report("http", PACKAGES)
    kinds = {
        "Starlette": variants(starlette),
        "FastAPI": variants(fastapi),
        "FastAPI, with a limit and shedding": whole_variants(fastapi),
        "FastAPI of 200 routes": variants(lambda: fastapi(other_routes=199)),
    }
    rounds, requests = (20, 200) if options.quick else (60, 200)
    asyncio.run(_measure(report, rounds=rounds, requests=requests, kinds=kinds))
    if not options.quick and shutil.which("wrk"):
        _under_load(report, rounds=3, seconds=4)
    print(report.as_json() if options.json else report.as_table())


if __name__ == "__main__":
    main()
