"""The series that recording rules make of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from roadworthy.check.catalogue import Series, Values
from roadworthy.check.expression import Expression
from roadworthy.check.labels import carried
from roadworthy.check.promql import Call, Node, Selector, walk
from roadworthy.service import ServiceSpec

_PASSES = 3
"""Recordings of recordings of recordings are known; deeper ones count as carrying any label."""


def recorded(known: Mapping[str, Series], expressions: Iterable[Expression], spec: ServiceSpec) -> Mapping[str, Series]:
    """Return the series by name with those that recording rules among `expressions` add.

    A rule's label has the values that rules give it; `slo` and `metric` have only those that are declared.
    """
    rules = [one for one in expressions if one.kind == "recording"]
    found = dict(known)
    for _ in range(_PASSES):
        made: dict[str, Series] = {}
        for one in rules:
            if one.name not in known:
                series = _series(one, found, spec)
                made[one.name] = _merged(made[one.name], series) if one.name in made else series
        found.update(made)
    return found


def _series(one: Expression, known: Mapping[str, Series], spec: ServiceSpec) -> Series:
    carries = None if one.tree is None else carried(one.tree, known)
    labels = {label: _values(label, one.tree, known) for label in carries or ()}
    for name, value in ({} if one.rule is None else one.rule.labels).items():
        labels[name] = Values(frozenset({value}))
        if name == "metric":
            labels[name] = Values(frozenset(metric.name for metric in spec.metrics))
    if "slo" in labels:
        labels["slo"] = Values(frozenset(objective.name for objective in spec.objectives))
    return Series(one.name, "gauge", labels, open=carries is None)


def _values(label: str, tree: Node | None, known: Mapping[str, Series]) -> Values | None:
    """Return the values of a label that a recording carries on from what it is made of, None where they are open."""
    nodes = () if tree is None else tuple(walk(tree))
    if any(isinstance(node, Call) and node.function in ("label_replace", "label_join") for node in nodes):
        return None
    found = [known.get(node.metric or "") for node in nodes if isinstance(node, Selector)]
    values = [series.labels[label] for series in found if series is not None and label in series.labels]
    listed = [one for one in values if one is not None]
    if not listed or len(listed) < len(values):
        return None
    prefixes = tuple(prefix for one in listed for prefix in one.prefixes)
    return Values(frozenset[str]().union(*(one.listed for one in listed)), prefixes)


def _merged(left: Series, right: Series) -> Series:
    labels: dict[str, Values | None] = {}
    for name in {*left.labels, *right.labels}:
        values = [series.labels[name] for series in (left, right) if name in series.labels]
        listed = [one.listed for one in values if one is not None]
        labels[name] = Values(frozenset().union(*listed)) if len(listed) == len(values) else None
    return Series(left.name, left.kind, labels, left.open or right.open)
