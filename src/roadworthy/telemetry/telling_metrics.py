"""What a service exports of the spans and the errors that it tells others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadworthy.telemetry.spec import Label, MetricSpec

if TYPE_CHECKING:
    from roadworthy.telemetry.outbox import Counts
    from roadworthy.telemetry.registry import MetricRegistry

_OUTCOME = Label("outcome", ("exported", "dropped", "failed"))

SPANS = MetricSpec(
    "telemetry_spans_total",
    "counter",
    "Spans by what became of them: exported, dropped for want of room, or failed for the collector did not take them.",
    (_OUTCOME,),
)
ERROR_REPORTS = MetricSpec(
    "telemetry_error_reports_total",
    "counter",
    "Error reports by what became of them: exported, dropped for want of room or since there were too many, or failed.",
    (_OUTCOME,),
)

CATALOGUE: tuple[MetricSpec, ...] = (SPANS, ERROR_REPORTS)


def track(registry: MetricRegistry, metric: MetricSpec, counts: Counts) -> None:
    """Have `registry` carry over what an outbox has counted, before each snapshot."""
    bound = registry.bound(metric)
    series = [bound.labels(outcome) for outcome in ("exported", "dropped", "failed")]
    told = [0, 0, 0]

    def carry() -> None:
        for index, now in enumerate((counts.exported, counts.dropped, counts.failed)):
            if now > told[index]:
                series[index].inc(now - told[index])
                told[index] = now

    registry.before_reading(carry)
