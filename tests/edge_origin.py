"""A small service to stand behind a real proxy, and the starting of one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response

from roadworthy import Service, edge_tags, immutable, minutes, private, seconds, shared
from roadworthy.binding import Binding
from roadworthy.edge.tags import Front
from roadworthy.http.stack import install
from roadworthy.runtime.web import serving
from roadworthy.telemetry.metrics import UNMATCHED_ROUTE, catalogue
from roadworthy.telemetry.registry import MetricRegistry


def declared(*fronts: Front) -> Service:
    service = Service("origin")
    service.edge("GET /page/{id}", shared(edge=minutes(5), browser=seconds(10)), tags=("page:{id}",))
    service.edge("GET /short", shared(edge=seconds(1)))
    service.edge("GET /stale", shared(edge=seconds(1), stale=minutes(1), stale_if_error=minutes(5)))
    service.edge("GET /spare", shared(edge=seconds(1), stale_if_error=minutes(5)))
    service.edge("GET /me", private())
    service.edge("GET /asset", immutable())
    service.edge(
        "GET /search",
        shared(edge=minutes(5), query=("q", "page"), vary={"Accept-Language": ("de", "en")}, cookies="ignored"),
    )
    service.edge("GET /plain", shared(edge=minutes(5), vary=("X-Kind",)))
    for front in fronts:
        service.behind(front)
    return service


@dataclass
class Served:
    """What the origin was asked, and what it is to answer."""

    calls: Counter[str] = field(default_factory=Counter)
    status: int = 200
    numbers: Any = field(default_factory=itertools.count)


def application(served: Served) -> FastAPI:
    app = FastAPI()

    @app.get("/{name:path}")
    async def anything(name: str, request: Request, response: Response) -> dict[str, Any]:
        served.calls[name] += 1
        response.status_code = served.status
        if name == "cookie":
            response.headers["Cache-Control"] = "public, max-age=60"
            response.set_cookie("session", "1")
        edge_tags("all")
        return {
            "number": next(served.numbers),
            "query": str(request.url.query),
            "cookie": request.headers.get("cookie"),
            "language": request.headers.get("accept-language"),
        }

    return app


@asynccontextmanager
async def origin(service: Service, served: Served, port: int = 0) -> AsyncIterator[int]:
    """Serve on loopback; yields the port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        # One handler answers for all routes, so that only their paths tell them apart.
        stack = install(application(served), service, route=lambda _scope, _status: UNMATCHED_ROUTE)
        unused: Any = None
        metrics = MetricRegistry(catalogue())
        async with service.bind(Binding(unused, unused, metrics)), serving(stack, listener, grace=seconds(1)):
            yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def proxy(port: int, directory: Path, *command: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run a proxy that will listen on `port`, until the end of the block."""
    log = directory / "proxy.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        await _listening(port, process, log)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 60)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _listening(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            return
        if process.returncode is not None:
            break
        await asyncio.sleep(0.05)
    raise AssertionError(f"the proxy does not listen: {log.read_text()}")
