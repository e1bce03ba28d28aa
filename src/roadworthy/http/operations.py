"""The application of the operations port: probes, the whole health report, and the metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from roadworthy.health.report import Health
from roadworthy.http.asgi import ASGIApp, Message, Receive, Scope, Send
from roadworthy.http.draining import Drain
from roadworthy.http.exchange import Exchange
from roadworthy.http.probes import GROUPS, PATHS, Probes, respond
from roadworthy.http.problems import Problem, ProblemResponse, Problems
from roadworthy.telemetry import exposition
from roadworthy.telemetry.exposition import CONTENT_TYPES, Format, Snapshot
from roadworthy.telemetry.registry import MetricRegistry

_LONGEST_TURN = 0.002


def operations_app(
    health: Health, metrics: Callable[[], Awaitable[Snapshot]], registry: MetricRegistry | None = None
) -> ASGIApp:
    """Return the ASGI application of the operations port.

    `metrics` gives what is to be scraped, of this process or of all of them. What fails is answered with problem
    details. Checks are looked at from its startup to its shutdown, and told of in `registry`.
    """
    probes = Probes(health, details=True)
    drain = Drain()

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in PATHS:
            await probes(scope, receive, send)
        elif path.startswith(GROUPS):
            await probes.group(scope, receive, send)
        elif path != "/metrics":
            await ProblemResponse(Problem(404))(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            await ProblemResponse(Problem(405, headers={"allow": "GET, HEAD"}))(scope, receive, send)
        else:
            # Who watches by its metrics alone wants to know of the checks, too.
            health.ask()
            accept = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")
            form = exposition.negotiated(accept)
            await respond(scope, send, 200, await _written(await metrics(), form), CONTENT_TYPES[form])

    answered = Problems(route)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answered(scope, receive, Exchange(scope, send, drain))
        elif scope["type"] == "lifespan":
            async with health.running(registry):
                await _lifespan(receive, send)
            await send({"type": "lifespan.shutdown.complete"})

    return app


async def _written(snapshot: Snapshot, form: Format) -> bytes:
    """Write a scrape out without holding up the event loop, which may have requests to answer."""
    pieces: list[bytes] = []
    began = time.perf_counter()
    for piece in exposition.pieces(snapshot, form):
        pieces.append(piece.encode())
        if time.perf_counter() - began > _LONGEST_TURN:
            await asyncio.sleep(0)
            began = time.perf_counter()
    return b"".join(pieces)


async def _lifespan(receive: Receive, send: Send) -> None:
    message: Message = await receive()
    while message["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
        message = await receive()
