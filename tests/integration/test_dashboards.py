"""Every panel of a running service has data in a real Prometheus, or says why it may have none."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from launching import launched, until
from roadworthy.cli.main import main
from roadworthy.emit.dashboard import concrete
from roadworthy.emit.dashboards import dashboards
from roadworthy.runtime.target import resolve

DECLARATION = """\
from roadworthy import Service, minutes, seconds

service = Service("stall", app="stall:app")
service.database()
mail = service.queue("mail", target_latency=seconds(5))
prices = service.cache("prices", ttl=minutes(5))
service.limit("api", "10000/minute", routes=("GET /buy",))
geocoder = service.dependency("geocoder")
service.shedding()
visits = service.counter("visits_total", "Visits.", labels={"kind": ("buyer", "thief")})
haggling = service.histogram("haggling_seconds", "Time until a price was agreed on.")
left = service.gauge("fruit_left", "Pieces left.")
service.slo("availability", objective=0.999)
service.slo("buying", objective=0.95, under=seconds(1.0), route="GET /buy")
service.panel("Visits", expr="sum(rate(visits_total[$__rate_interval]))", unit="cps")


@mail.job()
async def thank() -> None: ...


@prices.cached(key="{fruit}")
async def price(fruit: str) -> int:
    return await geocoder.call(_price)


async def _price() -> int:
    return 3


async def answer(scope, receive, send):
    assert scope["type"] == "http"
    scope["route"] = type("Route", (), {"path": scope["path"]})()
    visits.inc(kind="buyer")
    haggling.observe(0.1)
    left.set(7)
    await price("apple")
    await thank.enqueue()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"sold"})


app = service.install(answer)
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def prometheus(configuration: Path, storage: Path, port: int) -> AsyncIterator[str]:
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
        await asyncio.to_thread(process.wait, 20)


async def without_data(client: httpx.AsyncClient, address: str, expressions: dict[str, str]) -> dict[str, str]:
    """Return the expressions that give no series now; one that cannot be evaluated fails the test."""
    empty = {}
    for name, expression in expressions.items():
        answer = await client.get(f"{address}/api/v1/query", params={"query": expression})
        assert answer.status_code in (200, 503), f"{name}: {answer.text}"
        if answer.status_code == 503 or not answer.json()["data"]["result"]:
            empty[name] = expression
    return empty


def emitted(target: str, to: Path, operations: str, port: int) -> Path:
    """Emit the monitoring, in which a second stands for half a minute."""
    options = ["--scrape", operations.removeprefix("http://"), "--prometheus", f"127.0.0.1:{port}"]
    assert main(["emit", target, "--to", str(to), *options]) == 0
    for path in (to / "prometheus").rglob("*.yml"):
        path.write_text(path.read_text().replace(": 30s", ": 1s").replace("timeout: 10s", "timeout: 1s"))
    return to / "prometheus/prometheus.yml"


@pytest.mark.needs("prometheus")
async def test_every_panel_has_data_or_says_why_not(tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stall.py").write_text(DECLARATION)
    monkeypatch.syspath_prepend(str(tmp_path))
    target, port = f"{tmp_path / 'stall.py'}:service", free_port()
    async with launched(tmp_path, "run", target, environ={"DATABASE_URL": dsn}) as run:
        await run.site()
        configuration = emitted(target, tmp_path / "deploy", await run.operations(), port)
        spec = resolve(target).service.spec
        pending = {
            f"{board.name} / {panel.title}: {number}": concrete(query.expression, board)
            for board in dashboards(spec)
            for panel in board.panels
            for number, query in enumerate(panel.queries)
        }
        declared = {
            f"{board.name} / {panel.title}: {number}"
            for board in dashboards(spec)
            for panel in board.panels
            for number in range(len(panel.queries))
            if panel.may_be_empty
        }
        asked = dict(pending)
        async with prometheus(configuration, tmp_path / "storage", port) as address:

            async def all_have_data() -> bool:
                nonlocal pending
                for _ in range(5):
                    await run.get("/buy")
                await asyncio.sleep(0.5)
                pending = await without_data(run.client, address, pending) if await answers(address) else pending
                return not set(pending) - declared

            try:
                await until(all_have_data, "data in every panel", seconds=90)
            except AssertionError:
                pytest.fail(f"no data: {sorted(set(pending) - declared)}")
            assert await without_data(run.client, address, {"rules": "ALERTS or vector(1)"}) == {}
    assert len(asked) > 100
    # What may be empty mostly is not: nobody hides a fault by declaring it.
    assert len(pending) < len(declared) < len(asked) / 2


async def answers(address: str) -> bool:
    async with httpx.AsyncClient(timeout=5) as client:
        try:
            return (await client.get(f"{address}/-/ready")).status_code == 200
        except httpx.TransportError:
            return False
