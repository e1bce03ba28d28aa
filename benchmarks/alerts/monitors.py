"""Debian's Prometheus and Alertmanager with emitted files, and what they say."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from .compression import compressed
from .receivers import RUNBOOKS, Receivers

_READY_WITHIN = 30.0
_STOPPED_WITHIN = 15.0
_RETENTION = "35d"


@dataclass(frozen=True, slots=True)
class Monitors:
    """A Prometheus and an Alertmanager of one service. `files` is the directory of what was emitted, as it was."""

    prometheus: httpx.AsyncClient
    alertmanager: httpx.AsyncClient
    files: Path

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query; raise ValueError with what Prometheus has against it."""
        answer = (await self.prometheus.post("/api/v1/query", data={"query": expression})).json()
        if answer["status"] != "success":
            raise ValueError(f"{answer.get('error')}: {expression}")
        result = answer["data"]["result"]
        return result if answer["data"]["resultType"] in ("vector", "matrix") else [{"value": result}]

    async def rules(self) -> list[dict[str, Any]]:
        """Return all rules with their health, and the alerts of each."""
        answer = (await self.prometheus.get("/api/v1/rules")).json()
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]

    async def targets(self) -> list[dict[str, Any]]:
        """Return all targets with their health."""
        answer = (await self.prometheus.get("/api/v1/targets", params={"state": "active"})).json()
        return list(answer["data"]["activeTargets"])

    async def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that Alertmanager has, muted ones too."""
        return list((await self.alertmanager.get("/api/v2/alerts")).json())

    async def tell(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Tell Alertmanager of alerts as Prometheus would."""
        (await self.alertmanager.post("/api/v2/alerts", json=list(alerts))).raise_for_status()


@asynccontextmanager
async def monitors(
    target: str, operations: str, receivers: Receivers, directory: Path, factor: float
) -> AsyncIterator[Monitors]:
    """Emit the files of a service, start both programs with them, and wait until both are ready.

    `operations` is the host and port that is scraped. Time is compressed by `factor`.
    """
    ports = _free_ports(2)
    listening = {name: f"127.0.0.1:{port}" for name, port in zip(("prometheus", "alertmanager"), ports, strict=True)}
    files, compressed_files = directory / "emitted", directory / "compressed"
    await _emitted(target, operations, receivers, files, listening)
    for path in files.rglob("*.yml"):
        copy = compressed_files / path.relative_to(files)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(compressed(path.read_text(encoding="utf-8"), factor), encoding="utf-8")
    secrets = compressed_files / "alertmanager" / "secrets"
    secrets.mkdir()
    (secrets / "pagerduty-routing-key").write_text("stand-in", encoding="utf-8")
    (secrets / "slack-webhook").write_text(receivers.slack_url, encoding="utf-8")
    commands = {
        "alertmanager": [
            "prometheus-alertmanager",
            f"--config.file={compressed_files / 'alertmanager/alertmanager.yml'}",
            f"--storage.path={directory / 'alertmanager'}",
            f"--web.listen-address={listening['alertmanager']}",
            "--cluster.listen-address=",
        ],
        "prometheus": [
            "prometheus",
            f"--config.file={compressed_files / 'prometheus/prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'prometheus'}",
            f"--storage.tsdb.retention.time={_RETENTION}",
            f"--web.listen-address={listening['prometheus']}",
        ],
    }
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{address}", timeout=20))
            for name, address in listening.items()
        }
        for name, command in commands.items():
            # Paths of secrets are by where Alertmanager is started.
            await stack.enter_async_context(_running(command, compressed_files / name, directory / f"{name}.log"))
            await _until_ready(clients[name], directory / f"{name}.log")
        yield Monitors(clients["prometheus"], clients["alertmanager"], files)


async def _emitted(
    target: str, operations: str, receivers: Receivers, files: Path, listening: Mapping[str, str]
) -> None:
    options = {
        "--to": str(files),
        "--scrape": operations,
        "--prometheus": listening["prometheus"],
        "--alertmanager": listening["alertmanager"],
        "--runbooks": RUNBOOKS,
        "--pagerduty-url": receivers.pagerduty_url,
        "--mail-to": "business@example.org",
        "--mail-from": "alerts@example.org",
        "--mail-server": f"127.0.0.1:{receivers.smtp}",
        "--dead-mans-switch": receivers.switch_url,
    }
    command = [part for option in options.items() for part in option]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "roadworthy", "emit", target, "--mail-without-tls", *command),
        stdout=subprocess.DEVNULL,
    )
    if await asyncio.wait_for(process.wait(), 60):
        raise RuntimeError(f"roadworthy emit {target} exited with {process.returncode}")


@asynccontextmanager
async def _running(command: Sequence[str], directory: Path, log: Path) -> AsyncIterator[None]:
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=directory, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOPPED_WITHIN)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _until_ready(client: httpx.AsyncClient, log: Path) -> None:
    patience = time.monotonic() + _READY_WITHIN
    while time.monotonic() < patience:
        try:
            if (await client.get("/-/ready")).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError(f"it did not get ready; see {log}")


def _free_ports(count: int) -> Iterator[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return iter(ports)
