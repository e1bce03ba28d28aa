"""The emitted rules in a real Prometheus that scrapes what a service exports."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from roadworthy.cli.main import main
from roadworthy.telemetry.exposition import CONTENT_TYPE

DECLARATION = """\
from roadworthy import Service
service = Service("measured", app="measured:app")
service.slo("availability", objective=0.999)
service.slo("orders", objective=0.99, route="POST /orders")
service.slo("photos", objective=0.99, route="GET /photos")
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def exporting(text: Callable[[], str]) -> AsyncIterator[int]:
    """Answer every request with an exposition."""

    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            body = text().encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {len(body)}\r\n"
            writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@contextmanager
def prometheus(configuration: Path, storage: Path) -> Iterator[str]:
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={configuration}",
        f"--storage.tsdb.path={storage}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def rules_of(address: str) -> list[dict[str, str]]:
    groups = httpx.get(f"{address}/api/v1/rules", timeout=5).json()["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.needs("prometheus")
async def test_a_prometheus_with_the_emitted_rules_knows_what_is_left_of_each_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "measured.py").write_text(DECLARATION)
    target = f"{tmp_path / 'measured.py'}:service"
    began = time.monotonic()

    def counters() -> str:
        seen = int((time.monotonic() - began) * 1000)
        samples = {
            'method="POST",route="/orders",status="200"': seen,
            'method="GET",route="/",status="200"': 98 * seen,
            'method="GET",route="/",status="500"': seen,
        }
        lines = (f"http_requests_total{{{labels}}} {value}\n" for labels, value in samples.items())
        return "# TYPE http_requests_total counter\n" + "".join(lines)

    async with exporting(counters) as port:
        to = tmp_path / "deploy"
        assert main(["emit", target, "--to", str(to), "--scrape", f"127.0.0.1:{port}"]) == 0
        for path in (to / "prometheus").rglob("*.yml"):
            # A second stands for half a minute.
            path.write_text(path.read_text().replace(": 30s", ": 1s").replace("timeout: 10s", "timeout: 1s"))
        with prometheus(to / "prometheus/prometheus.yml", tmp_path / "storage") as address:
            ask = [sys.executable, "-m", "roadworthy", "budget", target, "--prometheus", address, "--json"]
            for _ in range(60):
                await asyncio.sleep(0.5)
                asked = await asyncio.to_thread(subprocess.run, ask, capture_output=True, timeout=30, check=False)
                states = {one["objective"]: one for one in json.loads(asked.stdout or b"{}").get("objectives", [])}
                if states and states["orders"]["remaining"] is not None:
                    break
            rules = await asyncio.to_thread(rules_of, address)
    assert asked.returncode == 1
    assert states["availability"]["state"] == "spent"
    assert states["availability"]["remaining"] == pytest.approx(1 - 0.01 / 0.001, abs=0.2)
    assert states["orders"] == {
        "objective": "orders",
        "promised": 0.99,
        "remaining": 1,
        "bad": 0,
        "burn_rate": 0,
        "state": "kept",
    }
    assert states["photos"]["state"] == "not measured"
    assert rules
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []


def test_without_a_prometheus_it_says_whom_it_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "unmeasured.py").write_text(DECLARATION.replace('"measured"', '"unmeasured"'))
    address = f"http://127.0.0.1:{free_port()}"
    assert main(["budget", f"{tmp_path / 'unmeasured.py'}:service", "--prometheus", address]) == 2
    assert address in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["budget", "--prometheus", "prometheus:9090"])
    assert ended.value.code == 2
