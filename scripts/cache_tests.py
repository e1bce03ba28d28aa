# ruff: noqa: T201, S607 - a program that prints, and node is where PATH has it
"""Run the public conformance suite for HTTP caches, http-tests/cache-tests, against ours.

    python scripts/cache_tests.py SUITE [--runs 3] [--json] [--only ID]

SUITE is a clone with its npm packages installed. Its origin server and our cache, in front of a plain reverse proxy and
served by granian with one worker, listen on the loopback interface and end with the run. Exits with 1 where fewer than
140 of the required cases pass or more than 5 fail, in the median of the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

LEAST_PASSES = 140
MOST_FAILS = 5

# The server listens on every interface and has no option for it.
_LOOPBACK = """
const net = require('net'); const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ...rest) { return listen.call(this, port, '127.0.0.1', ...rest) }
"""
_VERDICTS = """
import { readFileSync } from 'fs'
const [suite, results] = process.argv.slice(-2)
const tests = (await import(`${suite}/tests/index.mjs`)).default
const { determineTestResult, resultTypes } = await import(`${suite}/test-engine/lib/results.mjs`)
const found = JSON.parse(readFileSync(results))
const names = new Map(Object.entries(resultTypes).map(([name, type]) => [type, name]))
console.log(JSON.stringify(tests.flatMap(group => group.tests.map(test => ({
  id: test.id, group: group.id, kind: test.kind || 'required', name: test.name,
  verdict: names.get(determineTestResult(tests, test.id, found)),
  detail: Array.isArray(found[test.id]) ? found[test.id].join(': ') : ''
})))))
"""
Case = dict[str, str]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _started(command: list[str], port: int, environment: dict[str, str], log: Path) -> Iterator[None]:
    """Have a process listen on `port` within a `with`; what it says goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        for _ in range(200):
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended before it listened:\n{log.read_text(errors='replace')}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise SystemExit(f"{command[0]} does not listen on port {port}:\n{log.read_text(errors='replace')}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


@contextmanager
def _servers(suite: Path, scratch: Path) -> Iterator[str]:
    """Start the origin and our cache in front of it; yield the cache's address."""
    origin, cache = _free_port(), _free_port()
    preload = scratch / "loopback.cjs"
    preload.write_text(_LOOPBACK, encoding="utf-8")
    settings = {
        "npm_config_protocol": "http",
        "npm_config_port": str(origin),
        "npm_config_pidfile": str(scratch / "origin.pid"),
    }
    server = ["node", "--require", str(preload), str(suite / "test-engine/server/server.mjs")]
    granian = [sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "--no-access-log", "--no-ws"]
    granian += ["--host", "127.0.0.1", "--port", str(cache), "--log-level", "critical"]
    granian += ["scripts.reverse_proxy:cached"]
    with (
        _started(server, origin, settings, scratch / "origin.log"),
        _started(granian, cache, {"ORIGIN_PORT": str(origin)}, scratch / "cache.log"),
    ):
        yield f"http://127.0.0.1:{cache}"


def _run(suite: Path, only: str) -> list[Case]:
    """Run the suite once; return its cases with their verdicts."""
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        with _servers(suite, scratch) as address:
            printed = _node(
                ["--no-warnings", str(suite / "test-engine/cli.mjs")],
                suite,
                {"npm_config_base": address, "npm_config_id": only, "npm_package_config_id": ""},
            )
        if only:
            print(printed)
            return []
        results, script = scratch / "results.json", scratch / "verdicts.mjs"
        results.write_text(printed[printed.index("{\n") :], encoding="utf-8")
        script.write_text(_VERDICTS, encoding="utf-8")
        cases: list[Case] = json.loads(_node([str(script), str(suite), str(results)], suite, {}))
        return cases


def _node(arguments: list[str], directory: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["node", *arguments],
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=400,
    )
    return done.stdout


def _counts(cases: list[Case]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for case in cases:
        counts.setdefault(case["kind"], Counter())[case["verdict"]] += 1
    return {kind: dict(counter) for kind, counter in counts.items()}


def _medians(runs: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, float]]:
    kinds = {kind: {verdict for run in runs for verdict in run.get(kind, {})} for kind in runs[0]}
    return {
        kind: {verdict: median(run[kind].get(verdict, 0) for run in runs) for verdict in sorted(verdicts)}
        for kind, verdicts in kinds.items()
    }


def _print(runs: list[list[Case]], medians: dict[str, dict[str, float]]) -> None:
    for kind, verdicts in medians.items():
        print(f"{kind:9}", ", ".join(f"{verdict} {number:g}" for verdict, number in verdicts.items()))
    not_passed: dict[tuple[str, str], tuple[int, Case]] = {}
    for cases in runs:
        for case in cases:
            if case["kind"] != "check" and case["verdict"] not in {"pass", "untested"}:
                times, _ = not_passed.get((case["id"], case["verdict"]), (0, case))
                not_passed[case["id"], case["verdict"]] = (times + 1, case)
    print(f"\nNot passed, of {len(runs)} runs:")
    for times, case in sorted(
        not_passed.values(), key=lambda item: (item[1]["kind"], item[1]["verdict"]), reverse=True
    ):
        print(f"  {times}x {case['kind']} {case['verdict']} {case['id']}: {case['detail'] or case['name']}")


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path, help="a clone of http-tests/cache-tests, npm packages installed")
    parser.add_argument("--runs", type=int, default=3, help="how often to run it (3)")
    parser.add_argument("--only", default="", metavar="ID", help="run one case and print what was said")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    suite: Path = options.suite.resolve()
    if shutil.which("node") is None:
        raise SystemExit("node is not installed; the suite needs version 20 or newer")
    if not (suite / "test-engine/cli.mjs").is_file():
        raise SystemExit(f"{suite} is no clone of http-tests/cache-tests; give the path of one")
    if not (suite / "node_modules/undici").is_dir():
        raise SystemExit(f"{suite} lacks its npm packages; run `npm install` there")
    runs = [_run(suite, options.only) for _ in range(1 if options.only else options.runs)]
    if options.only:
        return 0
    medians = _medians([_counts(cases) for cases in runs])
    if options.json:
        document: dict[str, Any] = {"medians": medians, "runs": runs}
        print(json.dumps(document, indent=2))
    else:
        _print(runs, medians)
    required = medians["required"]
    enough = required.get("pass", 0) >= LEAST_PASSES and required.get("fail", 0) <= MOST_FAILS
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
