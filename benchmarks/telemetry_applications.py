"""What the telemetry benchmark measures: an application with one metrics layer, and a service to be killed."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import NoOpTracerProvider
from starlette_exporter import PrometheusMiddleware

from benchmarks.http_applications import BARE, OURS, PEER, Application, Measured, fastapi, starlette, with_peer
from roadworthy import Service
from roadworthy.binding import Binding
from roadworthy.catalogue import catalogue
from roadworthy.http.asgi import Receive, Scope, Send
from roadworthy.http.draining import Drain
from roadworthy.http.exchange import Exchange
from roadworthy.http.measuring import Measuring
from roadworthy.telemetry.ledger import KeptLedger, Ledger
from roadworthy.telemetry.registry import MetricRegistry

STARLETTE_EXPORTER = "starlette_exporter"
OPENTELEMETRY = "opentelemetry-instrumentation-asgi"
SHARED_SEND = "limit: the send that our layers share"

SUBJECTS = (SHARED_SEND, OURS, PEER, STARLETTE_EXPORTER, OPENTELEMETRY)


class MetricsLayer:
    """An application behind our metrics layer alone, which counts in a ledger as in production."""

    def __init__(self, app: Application) -> None:
        """Measure `app`; `service` tells where it counts."""
        self.kept = KeptLedger()
        self.service = Measured("benchmark", version="1.0.0")
        self.metrics = MetricRegistry(catalogue(self.service.spec), ledger=Ledger(self.kept.descriptor))
        self._drain = Drain()
        self._measuring = Measuring(app, self.service, self._drain)

    def bound(self) -> Any:
        """Return what binds the service within an `async with`."""
        nothing: Any = None
        return self.service.bind(Binding(nothing, nothing, self.metrics))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._measuring(scope, receive, Exchange(scope, send, self._drain))


class SharedSend:
    """An application behind the `send` that all our layers share, of which the metrics layer is one."""

    def __init__(self, app: Application) -> None:
        """Answer by `app`."""
        self._app = app
        self._drain = Drain()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, Exchange(scope, send, self._drain))


def variants(framework: str) -> dict[str, Application]:
    """Return an application of "FastAPI" or "Starlette", bare and behind each metrics layer."""
    make: Any = {"FastAPI": fastapi, "Starlette": starlette}[framework]
    exporting = make()
    exporting.add_middleware(PrometheusMiddleware, app_name=framework, prefix=framework.lower(), group_paths=True)
    return {
        BARE: make(),
        SHARED_SEND: SharedSend(make()),
        OURS: MetricsLayer(make()),
        PEER: with_peer(make()),
        STARLETTE_EXPORTER: exporting,
        OPENTELEMETRY: OpenTelemetryMiddleware(
            make(),
            tracer_provider=NoOpTracerProvider(),
            meter_provider=MeterProvider([InMemoryMetricReader()]),
            exclude_spans=["receive", "send"],
        ),
    }


service = Service("counted", version="1.0.0")


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request with the same short text."""
    if scope["type"] == "http":
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})
    elif scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


app = service.install(answer)
