from __future__ import annotations

import pytest
from prometheus_client.utils import floatToGoString

from roadworthy.errors import DeclarationError
from roadworthy.telemetry.spec import Label, MetricSpec, bucket_label, service_labels


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: Label("Le"), "label name 'Le'"),
        (lambda: Label("le", values=()), "allows no value"),
        (lambda: Label("queue", limit=0), "limit of 0"),
        (lambda: MetricSpec("Jobs_total", "counter", "Jobs."), "metric name 'Jobs_total'"),
        (lambda: MetricSpec("jobs_total", "counter", " "), "has no help text"),
        (lambda: MetricSpec("jobs", "counter", "Jobs."), "counters end in _total"),
        (lambda: MetricSpec("jobs_total", "gauge", "Jobs."), "counters end in _total"),
        (lambda: MetricSpec("jobs", "gauge", "Jobs.", (Label("a"), Label("a"))), "names a label twice"),
        (lambda: MetricSpec("jobs", "gauge", "Jobs.", buckets=(1.0,)), "only a histogram has buckets"),
        (lambda: MetricSpec("job_seconds", "histogram", "Jobs."), "strictly rising"),
        (lambda: MetricSpec("job_seconds", "histogram", "Jobs.", buckets=(2.0, 1.0)), "strictly rising"),
        (lambda: MetricSpec("jobs_total", "counter", "Jobs.", across="max"), "only a gauge can keep its largest"),
        (lambda: service_labels("jobs_total", {"instance": None}), "which Prometheus sets"),
    ],
)
def test_a_metric_that_cannot_work_is_refused(declare: object, message: str) -> None:
    assert callable(declare)
    with pytest.raises(DeclarationError, match=message):
        declare()


def test_a_histogram_is_found_under_three_names() -> None:
    spec = MetricSpec("job_seconds", "histogram", "Jobs.", (Label("queue"),), (1.0,))
    assert spec.series_names == ("job_seconds_bucket", "job_seconds_sum", "job_seconds_count")
    assert spec.label_names == ("queue",)
    assert MetricSpec("jobs", "gauge", "Jobs.").series_names == ("jobs",)


def test_a_services_labels_keep_their_values() -> None:
    assert service_labels("m", {"a": ("x",), "b": None}) == (Label("a", ("x",)), Label("b"))


@pytest.mark.parametrize(
    "bound", [0.005, 0.2, 1, 2.5, 10, 100_000, 999_999, 1_000_000, 1_500_000, 123_456_789.0, 1e12, 1e22, 1e-7]
)
def test_a_bucket_is_labelled_as_it_is_exported(bound: float) -> None:
    assert bucket_label(bound) == floatToGoString(bound)  # type: ignore[no-untyped-call]
