"""The services that the overload benchmark drives past what they can do, each served as in production.

python -m benchmarks.overload_applications PORT ITERATIONS [--shedding]
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from roadworthy import Service, seconds
from roadworthy.binding import Binding
from roadworthy.catalogue import catalogue
from roadworthy.runtime import loop
from roadworthy.runtime.web import serving
from roadworthy.telemetry.registry import MetricRegistry

SLOTS = 8
HELD = 0.02
"""How many slots the pool has, and for how many seconds a request holds one."""


class Measured(Service):
    """A service with metrics and no database."""

    @asynccontextmanager
    async def running(self, settings: object = None) -> AsyncIterator[Service]:
        """Bind the metrics within an `async with`."""
        nothing: Any = None
        async with self.bind(Binding(nothing, nothing, MetricRegistry(catalogue(self.spec)))):
            yield self


def spin(iterations: int) -> int:
    """Compute for as long as so many iterations take."""
    total = 0
    for index in range(iterations):
        total += index
    return total


def application(iterations: int) -> FastAPI:
    """Return an application with a handler that computes, and one that waits for a slot of a pool."""
    app = FastAPI()
    pool = asyncio.Semaphore(SLOTS)

    @app.api_route("/cpu", methods=["GET", "POST"])
    async def cpu() -> dict[str, int]:
        return {"total": spin(iterations)}

    @app.api_route("/pool", methods=["GET", "POST"])
    async def pooled() -> dict[str, int]:
        async with pool:
            await asyncio.sleep(HELD)
        return {"slots": SLOTS}

    @app.get("/threads")
    def threads() -> dict[str, int]:
        return {"total": spin(iterations)}

    return app


async def serve(port: int, iterations: int, *, shedding: bool) -> None:
    """Serve it until the process is ended."""
    service = Measured("overload")
    if shedding:
        service.shedding()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
        async with serving(service.install(application(iterations)), listener, grace=seconds(1)) as server:
            await server.ended()


def main() -> None:
    """Serve what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload_applications", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("iterations", type=int)
    parser.add_argument("--shedding", action="store_true")
    options = parser.parse_args()
    loop.run(serve(options.port, options.iterations, shedding=options.shedding))


if __name__ == "__main__":
    main()
