"""promtool's tests of the rules: each alert fires when it should, not a moment sooner, and not otherwise.

Format: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from roadworthy.emit.alert import Alert
from roadworthy.emit.durations import written
from roadworthy.emit.prometheus import HEADER, RuleGroup, annotations_of, labels_of
from roadworthy.emit.yaml import Value, document
from roadworthy.objectives.spec import AlertExample
from roadworthy.service import ServiceSpec

Examples = Sequence[tuple[Alert, AlertExample]]


def tests(group: RuleGroup, spec: ServiceSpec, runbooks: str) -> str:
    """Return the file that tests a group's alerts, as far as they have examples."""
    known = [(alert, alert.example) for alert in group.alerts if alert.example is not None]
    cases = [
        case
        for name in dict.fromkeys(alert.name for alert, _ in known)
        for case in _of(name, known, spec, runbooks, group.interval)
    ]
    content: dict[str, Value] = {
        "rule_files": [f"../rules/{group.name}.yml"],
        "evaluation_interval": written(group.interval),
        "tests": cases,
    }
    return document(content, HEADER)


def _of(name: str, known: Examples, spec: ServiceSpec, runbooks: str, interval: timedelta) -> list[Value]:
    """Return the tests of the alerts of one name, which may have several rules."""
    alike = [(alert, example) for alert, example in known if alert.name == name]
    firing: list[tuple[Mapping[str, str], list[timedelta]]] = []
    tests: list[Value] = []
    for alert, example in alike:
        at = example.after + alert.duration
        moments = next((moments for series, moments in firing if series == example.fires), None)
        if moments is None:
            firing.append((example.fires, moments := []))
        moments += [moment for moment in (at - interval, at) if moment >= timedelta(0) and moment not in moments]
        tests.append(_test(f"{name} stays quiet", example.quiet, [_case(name, at + interval, [])], interval))
    for series, moments in firing:
        cases = [
            _case(name, moment, [_expected(one, spec, runbooks) for one in alike if _fires(one, series, moment)])
            for moment in sorted(moments)
        ]
        tests.append(_test(f"{name} fires", series, cases, interval))
    return tests


def _fires(one: tuple[Alert, AlertExample], series: Mapping[str, str], moment: timedelta) -> bool:
    alert, example = one
    return example.fires == series and moment >= example.after + alert.duration


def _test(name: str, series: Mapping[str, str], cases: Sequence[Value], interval: timedelta) -> Value:
    return {
        "name": name,
        "interval": written(interval),
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "alert_rule_test": cases,
    }


def _case(name: str, moment: timedelta, expected: Sequence[Value]) -> Value:
    case: dict[str, Value] = {"eval_time": written(moment), "alertname": name}
    return {**case, "exp_alerts": expected} if expected else case


def _expected(one: tuple[Alert, AlertExample], spec: ServiceSpec, runbooks: str) -> Value:
    alert, example = one
    annotations = annotations_of(alert, spec, runbooks)
    return {
        "exp_labels": {**{name: value for name, value in example.labels.items() if value}, **labels_of(alert, spec)},
        "exp_annotations": {name: _rendered(text, example.rendered) for name, text in annotations.items()},
    }


def _rendered(text: str, values: Mapping[str, str]) -> str:
    for template, value in values.items():
        text = text.replace(template, value)
    return text
