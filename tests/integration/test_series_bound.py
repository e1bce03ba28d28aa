"""The number of series stays at what is declared, whatever comes over the socket."""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from fastapi import FastAPI

from roadworthy import Service
from roadworthy.binding import Binding
from roadworthy.catalogue import catalogue
from roadworthy.runtime.web import serving
from roadworthy.telemetry.metrics import OTHER_METHOD, UNMATCHED_ROUTE
from roadworthy.telemetry.registry import MetricRegistry
from roadworthy.telemetry.spec import OVERFLOW


class Client:
    """One connection, without a library's share of the time: there are thousands of requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def status(self, path: str, method: str = "GET", host: str = "localhost") -> int:
        """Send a request, and return the status of its answer."""
        self._writer.write(f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        async with asyncio.timeout(60):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            assert length is not None, head
            await self._reader.readexactly(int(length[1]))
        return int(head.split()[1])


@asynccontextmanager
async def shop() -> AsyncIterator[tuple[Client, MetricRegistry]]:
    service, app = Service("shop", version="1.0.0"), FastAPI()
    views = service.counter("views_total", "Items viewed.", labels={"item": None})

    @app.get("/items/{id}")
    async def item(id: int) -> dict[str, int]:
        views.inc(item=str(id))
        return {"id": id}

    stack = service.install(app)
    metrics = MetricRegistry(catalogue(service.spec), service=service.name)
    unused: Any = None
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        async with (
            service.bind(Binding(unused, unused, metrics)),
            serving(stack, listener, grace=timedelta(seconds=10)),
        ):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            try:
                yield Client(reader, writer), metrics
            finally:
                writer.close()
                await writer.wait_closed()


def series(metrics: MetricRegistry) -> dict[str, int]:
    return {family.name: len(family.series) for family in metrics.snapshot().families}


async def test_neither_ids_nor_scanners_nor_methods_nor_hosts_make_series() -> None:
    async with shop() as (client, metrics):
        for path in ("/items/0", "/nothing"):
            for method in ("GET", "BREW"):
                await client.status(path, method)
        before = series(metrics)
        statuses: Counter[int] = Counter()
        for number in range(1000):
            statuses[await client.status(f"/items/{number}")] += 1
            statuses[await client.status(f"/wp-admin/{number}.php?{number}")] += 1
        for number in range(300):
            statuses[await client.status("/items/0", method=f"ODD{number}")] += 1
            statuses[await client.status("/items/0", host=f"host{number}.example")] += 1
        after = series(metrics)

        assert statuses == {200: 1300, 404: 1000, 405: 300}
        cap = 100
        assert after == before | {"views_total": cap + 1, "telemetry_label_overflow_total": 1}
        assert metrics.value("telemetry_label_overflow_total", {"metric": "views_total"}) == 1000 - cap
        assert metrics.value("views_total", {"item": OVERFLOW}) == 1000 - cap
        for labels, count in (
            ({"method": "GET", "route": "/items/{id}", "status": "200"}, 1301),
            ({"method": "GET", "route": UNMATCHED_ROUTE, "status": "404"}, 1001),
        ):
            assert metrics.value("http_requests_total", labels) == count
        odd = [one for one in family(metrics, "http_requests_total").samples if ("method", OTHER_METHOD) in one.labels]
        assert sum(one.value for one in odd) == 302


def family(metrics: MetricRegistry, name: str) -> Any:
    return next(one for one in metrics.snapshot().families if one.name == name)
