"""What a cached page costs, beside the same page made anew and beside hishel's cache.

    python -m benchmarks.http_cache [--quick] [--json]

In process, requests are awaited one after the other without a server, short rounds of each subject in turn. Then each
is served by granian with one worker and loaded by wrk over 64 connections, if that is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import subprocess

from benchmarks.http import microseconds, served
from benchmarks.http_cache_applications import OURS, PATH, SUBJECTS, variants
from benchmarks.report import Report
from roadworthy.http.stack import Stack

PACKAGES = ("fastapi", "starlette", "hishel", "granian")
_APPLICATIONS = "benchmarks.http_cache_applications:served"


async def _in_process(report: Report, *, rounds: int, requests: int) -> None:
    apps = variants()
    ours = apps[OURS]
    assert isinstance(ours, Stack)
    async with ours.service.running():
        for _ in range(rounds):
            for subject, app in apps.items():
                took = await microseconds(app, requests, PATH)
                report.add("one request, in process", subject, took, unit="us", better="less")


def _under_load(report: Report, *, rounds: int, seconds: int) -> None:
    for _ in range(rounds):
        for subject in SUBJECTS:
            with served(subject, PATH, _APPLICATIONS) as address:
                command = ["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", address]
                output = subprocess.run(
                    command, capture_output=True, text=True, check=True, timeout=seconds + 30
                ).stdout
            if refused := re.search(r"Non-2xx.*: (\d+)", output):
                raise RuntimeError(f"{subject} answered {refused[1]} requests with an error")
            rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
            last = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
            assert rate is not None, output
            assert last is not None, output
            milliseconds = float(last[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[last[2]]
            report.add("served by granian", subject, float(rate[1]), unit="requests/s", better="more")
            report.add("served by granian, p99", subject, milliseconds, unit="ms", better="less")


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_cache", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, in under a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    report = Report("http_cache", PACKAGES)
    asyncio.run(_in_process(report, rounds=20 if options.quick else 60, requests=200))
    if shutil.which("wrk"):
        rounds, seconds = (1, 3) if options.quick else (3, 4)
        _under_load(report, rounds=rounds, seconds=seconds)
    print(report.as_json() if options.json else report.as_table())


if __name__ == "__main__":
    main()
