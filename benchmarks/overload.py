"""What is left of a service at three times its capacity, with load shedding and without.

    python -m benchmarks.overload [--quick] [--json] [--case CASE] [--seconds N]

One handler computes, one waits for a slot of a pool. For each, the capacity and the latency of one request at a time
are measured; then an open load of three times as much, drawn at random, comes for a minute, and a tenth of the capacity
after that; then both are measured again, and what was done is held against the mean, for the speed of a machine drifts
over a minute. The load is made by a process of its own; its clients give up after two seconds. The exit code is 1 where
shedding does not keep what it is for.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.overload_applications import spin
from benchmarks.overload_load import Record
from benchmarks.report import OURS, Report

PACKAGES = ("fastapi", "starlette", "granian", "uvloop")
PEER = "without shedding"
CASES = {"cpu": 2, "pool": 16}
"""How many callers find the capacity of each."""
COMPUTED = 0.01
"""Seconds that the handler that computes takes."""

LEAST_GOODPUT = 0.9
MOST_SLOWER = 2.0
RECOVERED_IN = 5.0


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of `values` is at or below; infinity of none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))] if ranked else float("inf")


def iterations() -> int:
    """Return how many iterations take `COMPUTED` seconds on this machine."""
    rounds = []
    for _ in range(20):
        began = time.thread_time()
        spin(100_000)
        rounds.append(time.thread_time() - began)
    return int(100_000 * COMPUTED / percentile(rounds, 0.5))


@contextmanager
def served(number: int, *, shedding: bool) -> Iterator[int]:
    """Serve the applications in a process of its own; yield its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.overload_applications", str(port), str(number)]
    process = subprocess.Popen([*command, *(["--shedding"] if shedding else [])], start_new_session=True)
    try:
        _wait(port)
        yield port
    finally:
        process.kill()
        process.wait(timeout=10)


def _wait(port: int) -> None:
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/startupz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"nothing answers at port {port}")


def load(port: int, path: str, rate: float, seconds: float, *more: str) -> tuple[list[Record], list[Record]]:
    """Put a load on; return what became of the requests and of the probes."""
    command = [sys.executable, "-m", "benchmarks.overload_load", str(port), path, str(rate), str(seconds), *more]
    done = subprocess.run(command, capture_output=True, check=True, timeout=seconds + 60)
    found = json.loads(done.stdout)
    return found["requests"], found["probes"]


def recovery(records: Sequence[Record], most: float) -> float:
    """Return after how many seconds all were answered, all but one in a hundred within `most`."""
    bad = [due for due, latency, status in sorted(records) if status != 200 or latency > most]
    tolerated = len(records) // 100
    return bad[-1 - tolerated] if len(bad) > tolerated else 0.0


def unhurried(case: str, number: int) -> tuple[float, list[float]]:
    """Return how many requests a second a handler can answer, and the latencies of one at a time, in seconds."""
    path = f"/{case}"
    with served(number, shedding=False) as port:
        load(port, path, 0, 1, "--closed", "1")
        quiet, _ = load(port, path, 0, 4, "--closed", "1")
        busy, _ = load(port, path, 0, 4, "--closed", str(CASES[case]))
    capacity = sum(status == 200 for _, _, status in busy) / max(due + latency for due, latency, _ in busy)
    return capacity, [latency for _, latency, _ in quiet]


def measure(report: Report, case: str, number: int, seconds: float) -> bool:
    """Measure one handler; return whether shedding kept what it is for."""
    kept = [_overloaded(report, case, subject, number, seconds) for subject in (OURS, PEER)]
    return kept[0]


def _overloaded(report: Report, case: str, subject: str, number: int, seconds: float) -> bool:
    path = f"/{case}"
    before, quiet_before = unhurried(case, number)
    with served(number, shedding=subject == OURS) as port:
        load(port, path, 0, 2, "--closed", "1")
        records, probes = load(port, path, 3 * before, seconds)
        after, _ = load(port, path, before / 10, 10)
    again, quiet_again = unhurried(case, number)
    capacity, unloaded = (before + again) / 2, percentile([*quiet_before, *quiet_again], 0.99)
    for measured in (before, again):
        limit = "limit: as many callers as it has use for"
        report.add(f"{case}: capacity", limit, measured, unit="requests/s", better="more")
    report.add(f"{case}: p99", "limit: one request at a time", unloaded * 1000, unit="ms", better="less")
    good = [latency for _, latency, status in records if status == 200]
    share = len(good) / seconds / capacity
    slowness = percentile(good, 0.99) / unloaded
    answered = sum(status == 200 for _, _, status in probes) / len(probes)
    recovered = recovery(after, MOST_SLOWER * 2 * unloaded)
    report.add(f"{case}: goodput of capacity", subject, 100 * share, unit="%", better="more")
    report.add(f"{case}: p99 of what was answered, of that", subject, slowness, unit="times", better="less")
    report.add(f"{case}: p50 of what was answered", subject, percentile(good, 0.5) * 1000, unit="ms", better="less")
    refused = [latency for _, latency, status in records if status == 503]
    if refused:
        report.add(f"{case}: p99 of a refusal", subject, percentile(refused, 0.99) * 1000, unit="ms", better="less")
    report.add(f"{case}: probes answered", subject, 100 * answered, unit="%", better="more")
    slowest = percentile([latency for _, latency, _ in probes], 0.99)
    report.add(f"{case}: p99 of probes", subject, 1000 * slowest, unit="ms", better="less")
    report.add(f"{case}: recovered after", subject, recovered, unit="s", better="less")
    return share > LEAST_GOODPUT and slowness < MOST_SLOWER and answered == 1 and recovered < RECOVERED_IN


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five seconds of overload, in under a minute and a half")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--case", choices=sorted(CASES), help="one of the two")
    parser.add_argument("--seconds", type=float, help="how long the overload lasts")
    options = parser.parse_args()
    report = Report("overload", PACKAGES)
    seconds = options.seconds or (5 if options.quick else 60)
    number = iterations()
    kept = [measure(report, case, number, seconds) for case in ([options.case] if options.case else CASES)]
    print(report.as_json() if options.json else report.as_table())
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
