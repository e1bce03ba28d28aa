from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from roadworthy.jobs.metrics import CATALOGUE, JOB_DURATION
from roadworthy.jobs.record import Record
from roadworthy.telemetry.registry import MetricRegistry
from roadworthy.telemetry.tracing import SPAN, Tracing
from roadworthy.telemetry.tracing_spec import TracingSpec


def test_a_recorded_attempt_is_an_example_of_its_duration() -> None:
    metrics = MetricRegistry(CATALOGUE)
    record, job = Record(metrics, "worker"), SimpleNamespace(queue="mail", job="send")
    attempt: Any = job
    record.ran(attempt, 0.2)
    token = SPAN.set(Tracing(TracingSpec(sample=1.0), lambda _: None).root("process send", "consumer", "a" * 32))
    try:
        record.ran(attempt, 0.03)
    finally:
        SPAN.reset(token)
    (series,) = next(one for one in metrics.snapshot().families if one.name == JOB_DURATION.name).series
    assert [(example.trace, example.value) for example in series.exemplars] == [("a" * 32, 0.03)]
