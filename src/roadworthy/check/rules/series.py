"""Rules about what is named: metrics, labels and label values must exist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from roadworthy.catalogue import catalogue
from roadworthy.check.catalogue import Series, Values
from roadworthy.check.expression import Expression
from roadworthy.check.nearest import suggestion
from roadworthy.check.promql import Matcher, Selector
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject


def unparsable(subject: Subject) -> Iterator[Problem]:
    """Find expressions that are no PromQL."""
    for alert in subject.expressions:
        if alert.tree is None:
            shown = " ".join(alert.text.split())
            yield Problem.of(
                alert, f"has an expression that is no PromQL: {alert.error}", f"correct the expression: {shown}"
            )


def unknown_metric(subject: Subject) -> Iterator[Problem]:
    """Find expressions and objectives that name a metric which nothing exports."""
    for alert, name in dict.fromkeys((alert, selector.metric) for alert, selector in _selectors(subject)):
        if name is not None and name not in subject.catalogue:
            yield Problem.of(
                alert, f"names the metric {name!r}, which nothing exports", _advice(name, subject.catalogue)
            )
    known = {metric.name for metric in catalogue(subject.spec)}
    for objective in subject.spec.objectives:
        if objective.metric is not None and objective.metric not in known:
            yield Problem.of(
                objective,
                f"names the metric {objective.metric!r}, which nothing exports",
                _advice(objective.metric, known),
            )


def unknown_label(subject: Subject) -> Iterator[Problem]:
    """Find matchers on a label that their metric does not have."""
    for alert, series, matcher in _matchers(subject):
        if matcher.label not in series.labels and not series.open:
            yield Problem.of(
                alert,
                f"matches the label {matcher.label!r}, which {series.name} does not have",
                suggestion(matcher.label, series.labels, "label"),
            )


def unknown_value(subject: Subject) -> Iterator[Problem]:
    """Find matchers on a value that their label never has."""
    for alert, series, matcher in _matchers(subject):
        values = series.labels.get(matcher.label)
        if values is not None and matcher.value and not _possible(matcher, values):
            condition = f'{matcher.label}{matcher.operator}"{matcher.value}"'
            yield Problem.of(
                alert,
                f"matches {condition}, a value that this label of {series.name} never has",
                suggestion(matcher.value, values.listed, "value"),
            )


def _selectors(subject: Subject) -> Iterator[tuple[Expression, Selector]]:
    for alert, node in subject.nodes():
        if isinstance(node, Selector):
            yield alert, node


def _matchers(subject: Subject) -> Iterator[tuple[Expression, Series, Matcher]]:
    """Yield each condition on a known metric once per alert, however often the alert repeats it."""
    found = (
        (alert, selector.metric, matcher) for alert, selector in _selectors(subject) for matcher in selector.matchers
    )
    for alert, metric, matcher in dict.fromkeys(found):
        series = subject.catalogue.get(metric or "")
        if series is not None:
            yield alert, series, matcher


def _possible(matcher: Matcher, values: Values) -> bool:
    if matcher.operator in ("=", "!="):
        return values.admit(matcher.value)
    try:
        return values.admit_some(re.compile(matcher.value))
    except re.error:
        return True


def _advice(name: str, known: Iterable[str]) -> str:
    known = frozenset(known)
    if f"{name}_bucket" in known:
        return f"a histogram's series are {name}_bucket, {name}_sum and {name}_count; name one of them"
    return f"{suggestion(name, known, 'metric')} Else declare it on the service"


RULES = (
    Rule("RW030", "An expression is no PromQL", "error", unparsable),
    Rule("RW031", "A metric is named that nothing exports", "error", unknown_metric),
    Rule("RW032", "An expression matches a label that its metric does not have", "error", unknown_label),
    Rule("RW033", "An expression matches a value that its label never has", "error", unknown_value),
)
