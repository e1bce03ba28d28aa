"""What is counted is there, whatever ends the process that counted it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil

from launching import Launched, launched, until

REQUESTS = 800
CLIENTS = 8

SERVICE = """
from roadworthy import Service

service = Service("counted", version="1.0.0")
visits = service.counter("visits_total", "Visits")


async def site(scope, receive, send):
    assert scope["type"] == "http"
    visits.inc()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


app = service.install(site)
"""


@dataclass
class Load:
    """What the clients saw: requests answered whole, and those that broke off and were sent again."""

    answered: int = 0
    broken: int = 0

    async def run(self, site: str) -> None:
        async with asyncio.timeout(300), asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(self._client(site))

    async def _client(self, site: str) -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            for _ in range(REQUESTS // CLIENTS):
                while True:
                    try:
                        answer = await client.get(site)
                    except httpx.TransportError:
                        self.broken += 1
                        await asyncio.sleep(0.01)
                    else:
                        assert answer.status_code == 200
                        break
                self.answered += 1


async def watched(run: Launched, done: asyncio.Event) -> int:
    """Scrape until `done`, and return how many scrapes there were: no counter may ever be less than before."""
    url = await run.operations() + "/metrics"
    last: dict[str, float] = {}
    scrapes = 0
    async with httpx.AsyncClient(timeout=60) as client:
        while not done.is_set():
            text = (await client.get(url)).text
            lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith(("http_request", "visits"))]
            now = {series: float(value) for series, _, value in lines if "in_progress" not in series}
            fell = {series: (value, now.get(series)) for series, value in last.items() if now.get(series, 0) < value}
            assert not fell, fell
            last, scrapes = now, scrapes + 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.05)
    return scrapes


async def test_answered_requests_stay_counted_under_kill_and_recycling(tmp_path: Path, dsn: str) -> None:
    (tmp_path / "counted.py").write_text(SERVICE)
    async with launched(tmp_path, "run", "counted.py", "--web", "4", environ={"DATABASE_URL": dsn}) as run:
        site, load, done = await run.site(), Load(), asyncio.Event()

        async def all_there() -> bool:
            return all([(await run.status(f"web-{number}"))["state"] == "ready" for number in range(1, 5)])

        async def ending() -> int:
            kills = 0
            for number, how in ((1, signal.SIGKILL), (2, signal.SIGTERM), (3, signal.SIGKILL)):
                await until(partial(enough, load, number), "some requests")
                process = psutil.Process((await run.status(f"web-{number}"))["pid"])
                process.send_signal(how)
                kills += how == signal.SIGKILL
            return kills

        await until(all_there, "four web processes")
        async with asyncio.TaskGroup() as together:
            scrapes = together.create_task(watched(run, done))
            kills = together.create_task(ending())
            await load.run(site)
            await kills
            done.set()
        assert scrapes.result() > 3
        for series in ("http_requests_total{", "http_request_duration_seconds_count{", "visits_total "):
            counted = await run.metric(series)
            # Of a killed process, one request may be between its last byte and its count; one that is broken off may be
            # counted, for its answer was handed over.
            assert load.answered - kills.result() <= counted <= load.answered + load.broken, series
        text = (await run.client.get(await run.operations() + "/metrics")).text
        for number in (2, 4):
            await until(partial(has, run, f'process_cpu_seconds_total{{process="web-{number}"}}'), "its own")
        assert 'process="supervisor"' in text


async def enough(load: Load, share: int) -> bool:
    return load.answered >= REQUESTS * share // 5


async def has(run: Launched, series: str) -> bool:
    return bool(await run.metric(series) > 0)
