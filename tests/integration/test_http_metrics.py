"""What a scrape tells, checked by Prometheus's own tool."""

from __future__ import annotations

import subprocess
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from roadworthy import Service, seconds
from roadworthy.binding import Binding
from roadworthy.catalogue import catalogue
from roadworthy.http.stack import install
from roadworthy.telemetry.exposition import EMPTY, merge, render, retire
from roadworthy.telemetry.registry import MetricRegistry


def declared() -> Service:
    service = Service("tested", version="1.0.0")
    service.slo("fast", objective=0.95, under=seconds(0.2))
    service.queue("mail")
    service.counter("searches_total", "Searches served.", labels={"found": ("yes", "no")})
    service.gauge("index_bytes", "Size of the index.")
    service.histogram("crawl_duration_seconds", "Time of a crawl.", labels={"site": None}, buckets=(60, 3600))
    return service


async def exercised() -> MetricRegistry:
    service = declared()
    metrics = MetricRegistry(catalogue(service.spec), service=service.name, service_version=service.version)
    unused: Any = None
    app = FastAPI()
    app.get('/odd/{name}"\\')(lambda name: {})
    async with service.bind(Binding(unused, unused, metrics)):
        transport = httpx.ASGITransport(install(app, service))
        async with httpx.AsyncClient(transport=transport, base_url="http://tested") as client:
            for path in ("/nothing", '/odd/x"\\', "/livez"):
                await client.get(path)
        metrics.bound("crawl_duration_seconds").labels('a "quoted" \\ site\n').observe(70)
    return metrics


def lint(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.needs("promtool")
async def test_promtool_finds_nothing_in_one_process() -> None:
    checked = lint(render((await exercised()).snapshot()))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.needs("promtool")
async def test_promtool_finds_nothing_in_several_processes() -> None:
    first, second = (await exercised()).snapshot(), (await exercised()).snapshot()
    text = render(merge({"web-0": first, "worker-mail-0": second}, retire(EMPTY, first)))
    checked = lint(text)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert 'http_requests_total{method="GET",route="__unmatched__",status="404"} 3.0' in text
