"""Open what tells others of single requests and jobs: their spans a collector, their errors a Sentry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roadworthy.errors import MissingExtra
from roadworthy.telemetry import telling_metrics
from roadworthy.telemetry.error_reports import ErrorReport, ErrorReports
from roadworthy.telemetry.outbox import Outbox
from roadworthy.telemetry.tracing import Span, Tracing

if TYPE_CHECKING:
    from roadworthy.runtime.settings import Settings
    from roadworthy.service import ServiceSpec
    from roadworthy.telemetry.registry import MetricRegistry

_MOST_SPANS, _SPANS_AT_ONCE = 4096, 512
_MOST_REPORTS, _REPORTS_AT_ONCE = 100, 1
_CLOSED_WITHIN = 1.0


@dataclass(frozen=True, slots=True)
class Collectors:
    """Where spans and errors are told: the base URL of an OTLP collector, headers for it, the DSN of a Sentry."""

    otlp_endpoint: str | None = None
    otlp_headers: tuple[tuple[str, str], ...] = ()
    sentry_dsn: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Collectors:
        """Return those of the environment."""
        return cls(settings.otlp_endpoint, settings.otlp_headers or (), settings.sentry_dsn)


@dataclass(frozen=True, slots=True)
class Telling:
    """What tells them; None of what the service does not declare."""

    tracing: Tracing | None
    error_reports: ErrorReports | None


@asynccontextmanager
async def opened(
    spec: ServiceSpec, collectors: Collectors, secrets: Callable[[], Collection[str]], registry: MetricRegistry
) -> AsyncIterator[Telling]:
    """Tell what `spec` declares within an `async with`, whose end waits a second at most for what is left.

    `secrets` returns what must not be told.

    Raises:
        MissingExtra: there is somebody to tell, and what tells them is not installed.
    """
    spans = _spans(spec, collectors)
    reports = _reports(spec, collectors, secrets)
    tracing = None if spec.tracing is None else Tracing(spec.tracing, None if spans is None else spans.put)
    if spans is not None:
        telling_metrics.track(registry, telling_metrics.SPANS, spans.counts)
    errors = None
    if reports is not None and spec.error_reports is not None:
        telling_metrics.track(registry, telling_metrics.ERROR_REPORTS, reports.counts)
        errors = ErrorReports(spec.error_reports, reports)
    boxes: list[Outbox[Any]] = [box for box in (spans, reports) if box is not None]
    try:
        yield Telling(tracing, errors)
    finally:
        await asyncio.gather(*(box.close(_CLOSED_WITHIN) for box in boxes))


def _spans(spec: ServiceSpec, collectors: Collectors) -> Outbox[Span] | None:
    if spec.tracing is None or collectors.otlp_endpoint is None:
        return None
    try:
        # An extra, which who names no collector need not have installed.
        from roadworthy.telemetry.opentelemetry import sender
    except ImportError as error:
        raise MissingExtra("OTEL_EXPORTER_OTLP_ENDPOINT", "otel") from error
    send = sender(collectors.otlp_endpoint, dict(collectors.otlp_headers), service=spec.name, version=spec.version)
    return Outbox("spans", send, size=_MOST_SPANS, batch=_SPANS_AT_ONCE)


def _reports(
    spec: ServiceSpec, collectors: Collectors, secrets: Callable[[], Collection[str]]
) -> Outbox[ErrorReport] | None:
    if spec.error_reports is None or collectors.sentry_dsn is None:
        return None
    try:
        from roadworthy.telemetry.sentry import sender
    except ImportError as error:
        raise MissingExtra("SENTRY_DSN", "sentry") from error
    send = sender(collectors.sentry_dsn, service=spec.name, version=spec.version, secrets=secrets)
    return Outbox("error reports", send, size=_MOST_REPORTS, batch=_REPORTS_AT_ONCE)
