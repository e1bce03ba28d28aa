"""Whatever is renamed in a service, the check names each rule, panel and runbook that the text loses by it."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml

import roadworthy.check.catalogue as checked
from roadworthy import Service
from roadworthy.catalogue import catalogue
from roadworthy.check.app import App, Route, describe
from roadworthy.check.declaration import check
from roadworthy.check.deployed.dashboards import filled
from roadworthy.check.deployed.deployment import Deployment, deployment
from roadworthy.emit.monitoring import monitoring_files
from roadworthy.runtime.target import application, resolve
from roadworthy.service import ServiceSpec
from roadworthy.telemetry.spec import Label, MetricSpec, bucket_label

SERVICES = ("sitesearch", "vitals")
TARGET = {"service", "instance", "job", "process", "le"}


@dataclass(frozen=True)
class Unit:
    """A rule, panel or runbook of the emitted text, by the file and its name there, with its PromQL and its labels."""

    file: str
    name: str
    text: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Emitted:
    """A service with what is emitted from it."""

    service: Service
    app: App
    deployment: Deployment
    units: tuple[Unit, ...]

    def broken(self, spec: ServiceSpec, app: App | None = None) -> set[tuple[str, str]]:
        """Return the file and name of each rule, panel and runbook that the check has an error for."""
        findings = check(spec, app=app or self.app, deployment=self.deployment)
        names = {one.place: (one.place.partition(":")[0], one.name) for one in self.deployment.expressions}
        wrong = {finding.place for finding in findings if finding.weight == "error"}
        return {names[place] for place in wrong if place in names}

    def naming(self, fits: Callable[[Unit], bool]) -> set[tuple[str, str]]:
        """Return those whose text fits."""
        return {(unit.file, unit.name) for unit in self.units if fits(unit)}

    def following(self, those: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return what looks at a series that one of those rules records: it may lose a label by them."""
        recorded = {name for _, name in those if ":" in name}
        return self.naming(lambda unit: any(name in unit.text for name in recorded))


def units(files: dict[str, str]) -> Iterator[Unit]:
    """Read the files in another way than the check does: line by line of what PyYAML and JSON give."""
    for path, text in files.items():
        if path.startswith("prometheus/rules/"):
            for group in yaml.safe_load(text)["groups"]:
                for rule in group["rules"]:
                    labels = tuple(rule.get("labels", {}).items())
                    yield Unit(path, rule.get("alert") or rule["record"], rule["expr"], labels)
        elif path.startswith("runbooks/"):
            name = path.removeprefix("runbooks/").removesuffix(".md")
            for part in text.split("```promql\n")[1:]:
                yield Unit(path, name, part.partition("\n```")[0])
        elif path.startswith("grafana/dashboards/"):
            board = json.loads(text)
            yield from _panel_units(path, board["title"], board)
            for one in board.get("annotations", {}).get("list", ()):
                if one.get("expr"):
                    yield Unit(path, f"{board['title']} / annotation {one['name']}", filled(one["expr"]))
            for one in board.get("templating", {}).get("list", ()):
                query = one.get("query")
                query = query.get("query", "") if isinstance(query, dict) else query or ""
                if "label_values(" in query and "," in query:
                    series, _, label = query.partition("label_values(")[2].rpartition(")")[0].rpartition(",")
                    unit = f"count by ({label.strip()}) ({series})"
                    yield Unit(path, f"{board['title']} / variable {one['name']}", filled(unit))


def _panel_units(path: str, title: str, holder: dict[str, Any]) -> Iterator[Unit]:
    for panel in holder.get("panels") or ():
        for target in panel.get("targets") or ():
            yield Unit(path, f"{title} / {panel['title']}", filled(target["expr"]))
        yield from _panel_units(path, title, panel)


@pytest.fixture(scope="module", params=SERVICES)
def emitted(request: pytest.FixtureRequest) -> Emitted:
    importlib.import_module(f"{request.param}.service")
    found = resolve(f"{request.param}.service:service")
    application(found)
    app = describe(found.service, found.module)
    assert app is not None
    files = dict(monitoring_files(found.service.spec))
    return Emitted(found.service, app, deployment(files), tuple(units(files)))


def test_what_is_emitted_passes_as_it_is(emitted: Emitted) -> None:
    assert check(emitted.service.spec, app=emitted.app, deployment=emitted.deployment) == ()
    assert {unit.file.partition("/")[0] for unit in emitted.units} == {"prometheus", "grafana", "runbooks"}


def names(unit: Unit, metric: MetricSpec) -> bool:
    return any(re.search(rf"(?<![\w:]){series}(?![\w:])", unit.text) for series in metric.series_names)


def test_every_metric(emitted: Emitted, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = emitted.service.spec
    tried = 0
    for metric in catalogue(spec):
        expected = emitted.naming(lambda unit, metric=metric: names(unit, metric))  # type: ignore[misc]
        if not expected:
            continue
        renamed = replace(metric, name=f"renamed_{metric.name}")
        everything = tuple(renamed if one.name == metric.name else one for one in catalogue(spec))
        monkeypatch.setattr(checked, "exported", lambda _, everything=everything: everything)
        own = tuple(renamed if one.name == metric.name else one for one in spec.metrics)
        broken = emitted.broken(replace(spec, metrics=own))
        assert broken >= expected, metric.name
        assert broken - expected <= emitted.following(expected), metric.name
        tried += 1
    assert tried > 40


def uses(unit: Unit, metric: MetricSpec, label: str) -> bool:
    """Whether the text matches the metric's series by the label, or groups by it where that metric is named."""
    for series in metric.series_names:
        for braces in re.findall(rf'(?<![\w:]){series}\{{((?:[^{{}}"]|"[^"]*")*)\}}', unit.text):
            if re.search(rf"(?<!\w){label}\s*[=!]", re.sub(r'"[^"]*"', '""', braces)):
                return True
    grouped = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", unit.text)
    return names(unit, metric) and any(label in re.split(r"\s*,\s*", one.strip()) for one in grouped)


def test_every_label(emitted: Emitted, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = emitted.service.spec
    tried = 0
    for metric in catalogue(spec):
        for label in metric.labels:
            expected = emitted.naming(lambda unit, metric=metric, label=label: uses(unit, metric, label.name))  # type: ignore[misc]
            if not expected or label.name in TARGET:
                continue
            labels = tuple(
                Label(f"renamed_{one.name}", one.values, one.limit) if one is label else one for one in metric.labels
            )
            renamed = replace(metric, labels=labels)
            everything = tuple(renamed if one.name == metric.name else one for one in catalogue(spec))
            monkeypatch.setattr(checked, "exported", lambda _, everything=everything: everything)
            own = tuple(renamed if one.name == metric.name else one for one in spec.metrics)
            broken = emitted.broken(replace(spec, metrics=own))
            assert broken == expected, f"{metric.name}: {label.name}"
            tried += 1
    assert tried > 15


def test_every_bucket(emitted: Emitted) -> None:
    spec = emitted.service.spec
    tried = 0
    for metric in catalogue(spec):
        for bound in metric.buckets:
            wanted = re.compile(rf'{metric.name}_bucket\{{[^}}]*le="{re.escape(bucket_label(bound))}"')
            expected = emitted.naming(lambda unit, wanted=wanted: bool(wanted.search(unit.text)))  # type: ignore[misc]
            if not expected:
                continue
            buckets = tuple(sorted({bound * 1.01 if one == bound else one for one in metric.buckets}))
            if metric in spec.metrics:
                own = tuple(replace(one, buckets=buckets) if one is metric else one for one in spec.metrics)
                changed = replace(spec, metrics=own)
            else:
                changed = replace(spec, request_buckets=buckets)
            assert emitted.broken(changed) == expected, f"{metric.name}: {bound}"
            tried += 1
    assert tried


NAMED = {
    "queues": ("queue", "queue"),
    "caches": ("cache", "cache"),
    "limits": ("limit", "limit"),
    "objectives": ("slo", "slo"),
    "dependencies": ("breaker|dependency", "breaker"),
    "jobs": ("job", ""),
}


@pytest.mark.parametrize("kind", NAMED)
def test_every_name(emitted: Emitted, kind: str) -> None:
    spec = emitted.service.spec
    labels, given = NAMED[kind]
    for one in getattr(spec, kind):
        wanted = re.compile(rf'(?<!\w)(?:{labels})="{re.escape(one.name)}"')
        expected = emitted.naming(
            lambda unit, wanted=wanted, one=one: bool(wanted.search(unit.text)) or (given, one.name) in unit.labels  # type: ignore[misc]
        )
        name = f"renamed-{one.name}" if kind == "objectives" else f"renamed_{one.name}"
        renamed = tuple(replace(other, name=name) if other is one else other for other in getattr(spec, kind))
        assert emitted.broken(replace(spec, **{kind: renamed})) == expected, one.name
    if kind in ("queues", "objectives"):
        assert expected


def test_every_route(emitted: Emitted) -> None:
    tried = 0
    for path in sorted({route.path for route in emitted.app.routes}):
        expected = emitted.naming(lambda unit, path=path: f'route="{path}"' in unit.text)  # type: ignore[misc]
        if not expected:
            continue
        routes = tuple(
            Route(f"/renamed{route.path}", route.methods) if route.path == path else route
            for route in emitted.app.routes
        )
        assert emitted.broken(emitted.service.spec, replace(emitted.app, routes=routes)) == expected, path
        tried += 1
    assert tried
