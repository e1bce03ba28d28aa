from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from roadworthy.binding import Binding
from roadworthy.catalogue import catalogue
from roadworthy.http.stack import Stack, install
from roadworthy.service import Service
from roadworthy.telemetry.registry import MetricRegistry

Application = Callable[..., Awaitable[None]]


@dataclass
class Running:
    """An application in the stack, with its metrics, and a client that asks it without a server."""

    stack: Stack
    metrics: MetricRegistry
    client: httpx.AsyncClient

    def counted(self) -> dict[tuple[str, str, str], float]:
        """Return the requests counted, by (method, route, status)."""
        return {
            (labels["method"], labels["route"], labels["status"]): sample.value
            for family in self.metrics.snapshot().families
            if family.name == "http_requests_total"
            for sample in family.samples
            if sample.value and (labels := dict(sample.labels))
        }


Serve = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def serve() -> Serve:
    @asynccontextmanager
    async def serve(app: Application, service: Service | None = None, **options: Any) -> AsyncIterator[Running]:
        declared = service or Service("tested", version="1.2.3")
        stack = install(app, declared, **options)
        metrics = MetricRegistry(catalogue(declared.spec))
        nothing: Any = None
        transport = httpx.ASGITransport(stack)
        async with (
            declared.bind(Binding(nothing, nothing, metrics)),
            httpx.AsyncClient(transport=transport, base_url="http://tested") as client,
        ):
            yield Running(stack, metrics, client)

    return serve
