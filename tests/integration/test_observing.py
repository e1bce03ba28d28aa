"""A service that runs tells of what it stands on in one scrape, and meters by route."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from roadworthy import Service
from roadworthy.runtime.lifecycle import opened
from roadworthy.runtime.observing import observing
from roadworthy.telemetry import exposition


async def test_what_it_stands_on_and_what_its_routes_used_is_in_its_scrape(dsn: str, tmp_path: Path) -> None:
    service = Service("shop")
    service.database()
    pages = service.meter("pages", price=0.01)

    async def read(request: Request) -> Response:
        pages.add(3)
        return PlainTextResponse("read")

    app = service.install(Starlette(routes=[Route("/pages/{page}", read)]))
    async with opened(service.spec, dsn, data_directory=tmp_path) as binding, service.bind(binding):
        async with observing(service.spec, binding, dsn, every=timedelta(milliseconds=50)):
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
                assert (await client.get("/pages/7")).text == "read"
            async with asyncio.timeout(60):
                while binding.metrics.value("database_up", {"database": "main"}) != 1:
                    await asyncio.sleep(0.01)
        scrape = exposition.render(binding.metrics.snapshot())
    assert 'metered_units_total{meter="pages",kind="route",name="GET /pages/{page}"} 3.0' in scrape
    for series in ("database_connections_limit{", "machine_disk_free_bytes{", "machine_memory_limit_bytes "):
        assert f"\n{series}" in scrape
