"""The README's quick start, run as a reader would run it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT = 90.0
READY = re.compile(r"^ready\s+(http://\S+)", re.MULTILINE)
OPERATIONS = re.compile(r"^operations\s+(http://[^/\s]+)", re.MULTILINE)


class Run:
    """`roadworthy run examples/quickstart.py`, with everything that it prints."""

    def __init__(self, directory: Path) -> None:
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")}
        surroundings.pop("DATABASE_URL", None)
        surroundings |= {
            "ROADWORTHY_DATA_DIR": str(directory / "data"),
            "ROADWORTHY_PORT": "0",
            "ROADWORTHY_OPERATIONS_PORT": "0",
        }
        self._printed = directory / "printed"
        with self._printed.open("w") as printed:
            self.process = self._start(surroundings, printed)
        self.processes: list[psutil.Process] = []

    @staticmethod
    def _start(environment: dict[str, str], printed: IO[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "roadworthy", "run", "examples/quickstart.py"],
            cwd=ROOT,
            env=environment,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def printed(self) -> str:
        return self._printed.read_text()

    def wait_until_ready(self) -> str:
        """Return the address of the ready line."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if ready := READY.search(self.printed):
                self.processes = psutil.Process(self.process.pid).children(recursive=True)
                return ready[1]
            assert self.process.poll() is None, self.printed
            time.sleep(0.05)
        raise AssertionError(f"not ready after {TIMEOUT:g} s:\n{self.printed}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT)

    def kill(self) -> None:
        """End whatever is left, so that a failed test leaves nothing behind."""
        for process in self.processes:
            # psutil compares start times, so a number given to another process since is left alone.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait(TIMEOUT)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    # Root's PostgreSQL runs as another user, who has to get past this directory to its own.
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o711)
    started = Run(tmp_path)
    try:
        yield started
    finally:
        started.kill()


def test_the_quick_start_does_what_it_says(run: Run) -> None:
    address = run.wait_until_ready()
    with httpx.Client(base_url=address, timeout=30) as client:
        answer = client.post("/visits/ada")
        assert (answer.status_code, answer.json()) == (200, {"welcome": "ada"})
        assert answer.headers["x-request-id"]

        deadline = time.monotonic() + TIMEOUT
        while not client.get("/visits").json()["ada"]:
            assert time.monotonic() < deadline, run.printed
            time.sleep(0.05)

        assert client.get("/readyz").json() == {"status": "pass"}
        assert client.get("/nowhere").headers["content-type"] == "application/problem+json"

    operations = OPERATIONS.search(run.printed)
    assert operations is not None
    metrics = httpx.get(f"{operations[1]}/metrics", timeout=30).text
    assert 'http_requests_total{method="POST",route="/visits/{name}",status="200"} 1.0' in metrics
    assert re.search(r'http_request_duration_seconds_bucket{[^\n]*"/visits/{name}"[^\n]*le="0\.2"', metrics)

    assert run.stop() == 0, run.printed
    _, alive = psutil.wait_procs(run.processes, timeout=10)
    assert [process.cmdline() for process in alive] == []
