"""A newcomer's way from a bare FastAPI application to dashboards and a firing alert, timed.

    python -m benchmarks.newcomer [--json] [--quick]

It follows docs/how-to/ten-minutes-to-an-alert.md to the letter: the page's files are written, its commands run, in a
directory of their own, with a real Prometheus and Alertmanager on the page's ports. Only what is installed differs:
this checkout with its pinned dependencies, not a release. `--quick` takes this environment instead of making one. The
exit code is 1 where the alert does not reach Alertmanager within ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

from .report import OURS, Report

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/how-to/ten-minutes-to-an-alert.md"
PROMISED = 600.0
"""Seconds that the whole way may take."""

_ALERT = "OrdersFail"
_PORTS = (8000, 9100, 9090, 9093)
_BLOCK = re.compile(r"^## (?P<heading>.+)$|^```(?P<info>\S+) ?(?P<detail>.*)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE)


def main() -> int:
    """Follow the page, and print how long each step took."""
    arguments = argparse.ArgumentParser(prog="benchmarks.newcomer", description=__doc__.partition("\n")[0])
    arguments.add_argument("--json", action="store_true", help="print JSON")
    arguments.add_argument("--quick", action="store_true", help="take this environment instead of making one")
    options = arguments.parse_args()
    taken = [port for port in _PORTS if _listening(port)]
    if taken:
        print(f"error: something listens on {taken}; the page wants {_PORTS} for itself", file=sys.stderr)
        return 2
    report = Report("newcomer", ("fastapi", "granian"))
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        began = time.monotonic()
        for heading, kind, detail, text in steps(PAGE.read_text(encoding="utf-8")):
            start = time.monotonic()
            _take(Path(directory), stack, kind, detail, text, quick=options.quick)
            if kind == "sh":
                report.add(heading, OURS, time.monotonic() - start, unit="s", better="less")
        start = time.monotonic()
        fired = _fires(began + PROMISED)
        report.add("until the alert is Alertmanager's", OURS, time.monotonic() - start, unit="s", better="less")
        boards = len(list(Path(directory, "deploy/grafana/dashboards").rglob("*.json")))
        report.add("dashboards emitted", OURS, boards, unit="dashboards", better="more")
        report.add("the whole way", OURS, time.monotonic() - began, unit="s", better="less")
    print(report.as_json() if options.json else report.as_table())
    if not fired:
        print(f"{_ALERT} did not reach Alertmanager within {PROMISED:g} s", file=sys.stderr)
    return 0 if fired and boards else 1


def steps(page: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the page's blocks: the heading they stand under, their language, what else their fence says, their text."""
    heading = ""
    for match in _BLOCK.finditer(page):
        if match["heading"]:
            heading = match["heading"]
        else:
            yield heading, match["info"], match["detail"], match["text"]


def _take(directory: Path, stack: ExitStack, kind: str, detail: str, text: str, *, quick: bool) -> None:
    if kind == "python":
        (directory / "shop.py").write_text(text, encoding="utf-8")
    elif detail == "stays":
        stack.enter_context(_staying(text, directory))
        for port in _ports_of(text):
            _wait_for(port)
    elif detail == "install" and quick:
        (directory / ".venv").symlink_to(sys.prefix)
    else:
        pinned = f"--constraint {ROOT / 'constraints.txt'} '{ROOT}[standard]'"
        subprocess.run(
            ["/bin/sh", "-euc", text.replace("'roadworthy[standard]'", pinned)],
            cwd=directory,
            check=True,
            timeout=PROMISED,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def _staying(command: str, directory: Path) -> Iterator[None]:
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=directory,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)


def _ports_of(command: str) -> tuple[int, ...]:
    """Return the ports that a command listens on once it is ready."""
    if "roadworthy run" in command:
        return (8000, 9100)
    return tuple(int(port) for port in re.findall(r"--web\.listen-address=127\.0\.0\.1:(\d+)", command))


def _listening(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(port: int) -> None:
    until = time.monotonic() + 120
    while not _listening(port):
        if time.monotonic() > until:
            raise TimeoutError(f"nothing listens on port {port} after two minutes")
        time.sleep(0.2)


def _fires(deadline: float) -> bool:
    """Whether Alertmanager hears of the alert before the deadline."""
    while time.monotonic() < deadline:
        with urlopen("http://127.0.0.1:9093/api/v2/alerts", timeout=5) as answer:
            names = {alert["labels"]["alertname"] for alert in json.load(answer)}
        if _ALERT in names:
            return True
        time.sleep(1)
    return False


if __name__ == "__main__":
    sys.exit(main())
