from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from roadworthy import DeclarationError, minutes, seconds
from roadworthy.objectives.spec import AlertExample, AlertSpec, ObjectiveSpec


def test_an_objective_on_a_route_knows_its_parts() -> None:
    objective = ObjectiveSpec("fast", 0.95, seconds(0.2), "GET /sites/{name}")
    assert objective.route_parts == ("GET", "/sites/{name}")
    assert ObjectiveSpec("all", 0.999).route_parts is None


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
