from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from roadworthy import DeclarationError, Service, minutes, seconds
from roadworthy.objectives.spec import AlertExample, AlertSpec, ObjectiveSpec


def test_an_objective_on_a_route_knows_its_parts() -> None:
    objective = ObjectiveSpec("fast", 0.95, seconds(0.2), "GET /sites/{name}")
    assert objective.route_parts == ("GET", "/sites/{name}")
    assert ObjectiveSpec("all", 0.999).route_parts is None


@pytest.mark.parametrize(
    ("arguments", "kind", "about_requests"),
    [
        ({}, "availability", True),
        ({"under": seconds(1)}, "latency", True),
        ({"under": seconds(1), "metric": "packing_seconds"}, "latency", False),
        ({"queue": "mail", "job": "send"}, "job success", False),
        ({"queue": "mail", "under": seconds(1)}, "job latency", False),
        ({"fresh": "age_seconds", "within": seconds(1)}, "freshness", False),
        ({"metric": "found_total", "good": {"found": ("yes",)}}, "quality", False),
    ],
)
def test_what_is_named_says_what_is_promised(arguments: dict[str, Any], kind: str, about_requests: bool) -> None:
    objective = ObjectiveSpec("promise", 0.9, **arguments)
    assert (objective.kind, objective.about_requests) == (kind, about_requests)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "Fast", "objective": 0.9}, "rename it"),
        ({"name": "fast", "objective": 99.9}, "0.999"),
        ({"name": "fast", "objective": 0}, "between 0 and 1"),
        ({"name": "fast", "objective": 1}, "between 0 and 1"),
        ({"name": "fast", "objective": 0.9, "under": timedelta(0)}, "longer than nothing"),
        ({"name": "fast", "objective": 0.9, "metric": "packing_seconds"}, "under="),
        ({"name": "fast", "objective": 0.9, "under": seconds(1), "metric": "m", "route": "GET /"}, "both"),
        ({"name": "fast", "objective": 0.9, "route": "/search"}, "'GET /search'"),
        ({"name": "fast", "objective": 0.9, "route": "FETCH /search"}, "'GET /search'"),
        ({"name": "sent", "objective": 0.9, "job": "send"}, "of which queue"),
        ({"name": "sent", "objective": 0.9, "queue": "mail", "job": "send", "under": seconds(1)}, "leave job= out"),
        ({"name": "sent", "objective": 0.9, "queue": "mail", "route": "GET /"}, "make two objectives"),
        ({"name": "fresh", "objective": 0.9, "fresh": "age_seconds"}, "within="),
        ({"name": "fresh", "objective": 0.9, "within": seconds(1)}, "name the gauge"),
        ({"name": "fresh", "objective": 0.9, "fresh": "a_seconds", "within": timedelta(0)}, "longer than nothing"),
        ({"name": "fresh", "objective": 0.9, "fresh": "a", "within": seconds(1), "under": seconds(1)}, "two ways"),
        ({"name": "good", "objective": 0.9, "good": {"found": ("yes",)}}, "metric="),
        ({"name": "good", "objective": 0.9, "metric": "m_total", "good": {}}, "name a label"),
        ({"name": "good", "objective": 0.9, "metric": "m_total", "good": {"found": ()}}, "list the values"),
        ({"name": "good", "objective": 0.9, "metric": "m", "good": {"a": ("b",)}, "queue": "q"}, "different events"),
    ],
)
def test_an_objective_that_cannot_work_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        ObjectiveSpec(**arguments)


SOUND = {
    "name": "LowStock",
    "expression": "stock_items < 1",
    "duration": minutes(5),
    "severity": "business",
    "runbook": "Order more.",
    "summary": "Nearly nothing left",
}


def test_a_sound_alert_is_kept_as_written() -> None:
    assert AlertSpec(**SOUND).expression == "stock_items < 1"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "low_stock"}, "CamelCase"),
        ({"expression": "  "}, "empty expression"),
        ({"duration": minutes(-1)}, "not be negative"),
        ({"severity": "page"}, "critical, warning, business"),
        ({"runbook": " "}, "no runbook"),
    ],
)
def test_an_alert_that_cannot_work_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        AlertSpec(**{**SOUND, **change})


@pytest.mark.parametrize(
    ("series", "values"),
    [("orders total", "0+1x60"), ("orders_total{", "0+1x60"), ("orders_total", "many"), ("orders_total", "")],
)
def test_an_example_is_written_as_promtool_reads_it(series: str, values: str) -> None:
    with pytest.raises(DeclarationError, match="as promtool reads them"):
        AlertExample(fires={series: values}, quiet={})


@pytest.mark.parametrize("values", ["0+60x100", "1 2 3", "-1.5e3x5", "_x3 1", "stale", "1 NaN"])
def test_what_promtool_reads_is_an_example(values: str) -> None:
    assert AlertExample(fires={'orders_total{paid="card"}': values}, quiet={}).fires


def test_good_values_are_a_sequence() -> None:
    with pytest.raises(DeclarationError, match=r"\('yes',\)"):
        Service("shop").slo("found", objective=0.7, metric="found_total", good={"found": "yes"})


def test_what_jobs_promise_is_a_bucket_of_how_long_they_wait() -> None:
    service = Service("shop")
    service.slo("begun", objective=0.9, queue="mail", under=seconds(42))
    service.slo("eventually", objective=0.9, queue="mail", under=seconds(7200))
    assert {42.0, 7200.0, 14400.0} <= set(service.spec.wait_buckets)
    assert 42.0 not in service.spec.request_buckets


def test_the_latest_moment_of_several_processes_is_told_and_not_their_sum() -> None:
    service = Service("shop")
    service.gauge("counted_timestamp_seconds", "When the stock was counted.")
    service.gauge("stock_items", "Items in stock.")
    service.gauge("stock_value_ratio", "How sure we are.", across="max")
    assert [metric.across for metric in service.spec.metrics] == ["max", "sum", "max"]
