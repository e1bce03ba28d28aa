"""Dashboards as Grafana reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard as Model

from roadworthy import Service, minutes, seconds
from roadworthy.emit.dashboard import Dashboard
from roadworthy.emit.dashboards import dashboards
from roadworthy.emit.grafana import uid, written
from roadworthy.emit.provisioning import DASHBOARDS, grafana_files

RUNBOOKS = "https://example.org/runbooks/"


def stall() -> Service:
    service = Service("stall", app="stall.app:app")
    service.database()
    service.queue("mail", target_latency=seconds(5))
    service.cache("prices", ttl=minutes(5))
    service.dependency("geocoder")
    service.counter("visits_total", "Visits.")
    service.slo("availability", objective=0.999)
    service.panel(
        "Visits at all",
        expr={"now": "sum(visits_total)", "before": "sum(visits_total offset 1d)"},
        may_be_empty="It rains.",
    )
    return service


def drawn(service: Service) -> Iterator[tuple[Dashboard, dict[str, Any]]]:
    for board in dashboards(service.spec):
        yield board, json.loads(written(board, service.spec, RUNBOOKS))


def test_each_dashboard_reads_as_the_model_of_its_version_has_it() -> None:
    register_default_plugins()
    for _, made in drawn(stall()):
        assert made["schemaVersion"] == 41
        again = json.loads(json.dumps(Model.from_json(made), cls=JSONEncoder))
        # Reading keeps what the model knows, so a key that it does not know would be missing here.
        assert without_defaults(made) <= without_defaults(again)


def without_defaults(value: Any, at: str = "") -> set[tuple[str, str]]:
    """Return every leaf with the path that leads to it."""
    if isinstance(value, dict):
        return {leaf for key, inner in value.items() for leaf in without_defaults(inner, f"{at}/{key}")}
    if isinstance(value, list):
        return {leaf for index, inner in enumerate(value) for leaf in without_defaults(inner, f"{at}/{index}")}
    return {(at, json.dumps(value))}


def test_each_panel_is_drawn_where_nothing_else_is() -> None:
    for board, made in drawn(stall()):
        cells: set[tuple[int, int]] = set()
        for panel in made["panels"]:
            at = panel["gridPos"]
            own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & own, f"{board.name}: {panel['title']}"
            assert all(0 <= x < 24 for x, _ in own)
            cells |= own
        ids = [panel["id"] for panel in made["panels"]]
        assert len(set(ids)) == len(ids)
        shown = [panel["title"] for panel in made["panels"] if panel["type"] != "row"]
        assert shown == [panel.title for panel in board.panels]


def test_each_query_has_a_letter_of_its_own_and_asks_the_chosen_source() -> None:
    for _, made in drawn(stall()):
        for panel in made["panels"]:
            if panel["type"] == "row":
                continue
            letters = [target["refId"] for target in panel["targets"]]
            assert len(set(letters)) == len(letters) > 0
            for one in (panel, *panel["targets"]):
                assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["fieldConfig"]["defaults"]["unit"]


def test_colours_change_where_the_alert_fires_and_its_runbook_is_linked() -> None:
    for board, made in drawn(stall()):
        by_id = [panel for panel in made["panels"] if panel["type"] != "row"]
        for panel, shown in zip(board.panels, by_id, strict=True):
            steps = [step["value"] for step in shown["fieldConfig"]["defaults"]["thresholds"]["steps"]]
            if panel.threshold is not None:
                assert panel.threshold.value in steps
            assert steps == sorted(steps)
            links = [link["url"] for link in shown.get("links", ())]
            assert links == ([f"{RUNBOOKS}stall/{panel.alert}.md"] if panel.alert else [])


def test_a_panel_that_may_be_empty_says_why() -> None:
    for board, made in drawn(stall()):
        shown = [panel for panel in made["panels"] if panel["type"] != "row"]
        for panel, one in zip(board.panels, shown, strict=True):
            described = one.get("description", "")
            assert one["fieldConfig"]["defaults"].get("noValue", "") == panel.may_be_empty
            assert described.endswith(panel.may_be_empty)
            assert ("May be empty: " in described) is bool(panel.may_be_empty)


def test_deploys_and_alerts_are_marked_on_every_dashboard() -> None:
    for _, made in drawn(stall()):
        marks = {mark["name"]: mark["expr"] for mark in made["annotations"]["list"]}
        assert "roadworthy_info" in marks["Deploys"]
        assert 'severity=~"critical"' in marks["Critical alerts"]
        assert len({mark["iconColor"] for mark in made["annotations"]["list"]}) == len(marks) == 3


@pytest.mark.parametrize("service", ["a", "stall", "a-service-with-a-name-that-nobody-would-like-to-type"])
def test_a_dashboard_is_known_by_a_short_name_of_its_own(service: str) -> None:
    names = [uid(service, board) for board in ("overview", "api", "dependencies")]
    assert all(len(name) <= 40 and name.endswith(("overview", "api", "dependencies")) for name in names)
    assert len(set(names)) == 3
    assert uid(f"{service}-b", "api") not in names


def test_the_same_declaration_gives_the_same_bytes() -> None:
    assert grafana_files(stall().spec, "a:1", RUNBOOKS) == grafana_files(stall().spec, "a:1", RUNBOOKS)


def test_grafana_is_told_where_prometheus_and_the_dashboards_are() -> None:
    files = grafana_files(stall().spec, "prometheus:9090", RUNBOOKS)
    (source,) = yaml.safe_load(files["grafana/provisioning/datasources/prometheus.yml"])["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == "30s"
    (provider,) = yaml.safe_load(files["grafana/provisioning/dashboards/stall.yml"])["providers"]
    assert provider["options"]["path"] == f"{DASHBOARDS}/stall"
    boards = [path for path in files if path.endswith(".json")]
    assert boards == [f"grafana/dashboards/stall/{board.name}.json" for board in dashboards(stall().spec)]
