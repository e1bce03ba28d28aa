"""The application of the operations port: probes, the whole health report, and the metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from roadworthy.health.report import Health
from roadworthy.http.asgi import ASGIApp, Message, Receive, Scope, Send
from roadworthy.http.draining import Drain
from roadworthy.http.exchange import Exchange
from roadworthy.http.probes import GROUPS, PATHS, Probes, respond
from roadworthy.http.problems import Problem, ProblemResponse, Problems
from roadworthy.telemetry.exposition import CONTENT_TYPE
from roadworthy.telemetry.registry import MetricRegistry


def operations_app(
    health: Health, metrics: Callable[[], Awaitable[str]], registry: MetricRegistry | None = None
) -> ASGIApp:
    """Return the ASGI application of the operations port.

    `metrics` gives the exposition text, of this process or of all of them. What fails is answered with problem details.
    Checks are looked at from its startup to its shutdown, and told of in `registry`.
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
            text = await metrics()
            await respond(scope, send, 200, text.encode(), CONTENT_TYPE)

    answered = Problems(route)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answered(scope, receive, Exchange(scope, send, drain))
        elif scope["type"] == "lifespan":
            async with health.running(registry):
                await _lifespan(receive, send)
            await send({"type": "lifespan.shutdown.complete"})

    return app


async def _lifespan(receive: Receive, send: Send) -> None:
    message: Message = await receive()
    while message["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
        message = await receive()
