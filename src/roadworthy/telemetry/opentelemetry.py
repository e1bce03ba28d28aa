"""Spans as OpenTelemetry's protocol carries them, OTLP over HTTP; the only module that knows OpenTelemetry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from roadworthy._version import __version__
from roadworthy.telemetry.tracing import Span

_TIMEOUT_SECONDS = 5.0
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope("roadworthy", __version__)


class NotAccepted(Exception):
    """The collector could not be reached, did not answer in time, or refused the spans."""


def sender(
    endpoint: str, headers: dict[str, str], *, service: str, version: str, timeout: float = _TIMEOUT_SECONDS
) -> Callable[[list[Span]], None]:
    """Return what sends spans to the collector at `endpoint`, within `timeout` seconds with all that is tried again.

    It raises NotAccepted, and is for one thread. `headers` go with each request, `service` and `version` say whose
    spans they are; `OTEL_RESOURCE_ATTRIBUTES` adds to that.
    """
    # Its lines, one for each batch, would say what the outbox says once a minute.
    for name in (OTLPSpanExporter.__module__, "opentelemetry.exporter.otlp.common"):
        logging.getLogger(name).addFilter(_silent)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", headers=headers, timeout=timeout)
    resource = Resource.create({"service.name": service, "service.version": version})

    def send(spans: list[Span]) -> None:
        if exporter.export([readable(span, resource) for span in spans]) is not SpanExportResult.SUCCESS:
            raise NotAccepted(f"the collector at {endpoint} did not accept {len(spans)} spans within {timeout:g} s")

    return send


def _silent(_record: logging.LogRecord) -> bool:
    return False


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """Return one of our spans as OpenTelemetry's."""
    return ReadableSpan(
        span.name,
        _context(span.trace.id, span.id),
        None if span.parent is None else _context(span.trace.id, span.parent),
        resource,
        span.attributes,
        links=_links(span.links),
        kind=_KINDS[span.kind],
        status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
        start_time=span.began,
        end_time=span.ended,
        instrumentation_scope=_SCOPE,
    )


def _links(traceparents: Sequence[str]) -> list[Link]:
    parts = [one.split("-") for one in traceparents]
    return [Link(_context(trace, span)) for _, trace, span, _ in parts]


def _context(trace: str, span: str) -> SpanContext:
    return SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=_SAMPLED)
