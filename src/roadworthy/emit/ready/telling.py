"""Alerts on what is told of single requests and jobs, and gets lost on the way to who asks for it."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import INTERVAL
from roadworthy.objectives.spec import AlertExample
from roadworthy.service import ServiceSpec
from roadworthy.telemetry.spec import MetricSpec
from roadworthy.telemetry.telling_metrics import ERROR_REPORTS, SPANS


def telling_alerts(spec: ServiceSpec) -> Iterator[Alert]:
    """Yield the alerts on spans and error reports, as far as the service declares them."""
    if spec.tracing is not None:
        yield _lost(
            SPANS,
            spec.name,
            "SpansLost",
            "spans",
            "Does the collector at OTEL_EXPORTER_OTLP_ENDPOINT answer, and as fast as spans come? Its log and the "
            "service's say. Requests are unaffected; record fewer with sample= if it is the number of them.",
        )
    if spec.error_reports is not None:
        yield _lost(
            ERROR_REPORTS,
            spec.name,
            "ErrorReportsLost",
            "error reports",
            "Are there too many errors (the log has each), or does Sentry not answer? Is SENTRY_DSN still valid, and "
            "its quota not used up? Until it is well again the log is the only place to look.",
        )


def _lost(metric: MetricSpec, service: str, name: str, what: str, steps: str) -> Alert:
    labels = {"service": service}
    lost = selected(metric.name, labels, 'outcome=~"dropped|failed"')
    every = selected(metric.name, labels)
    failed, exported = (selected(metric.name, labels | {"outcome": outcome}) for outcome in ("failed", "exported"))
    return Alert(
        name,
        f"sum(increase({lost}[15m])) / (sum(increase({every}[15m])) >= 20) > 0.05",
        minutes(15),
        "warning",
        f"Not all {what} arrive",
        f"{{{{ $value | humanizePercentage }}}} of the {what} of the last quarter of an hour were lost.",
        steps,
        example=AlertExample(
            {failed: "0+10x120", exported: "0+90x120"},
            {failed: "0+4x120", exported: "0+96x120"},
            INTERVAL,
            {},
            {"{{ $value | humanizePercentage }}": "10%"},
        ),
    )
