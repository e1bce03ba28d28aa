"""Rules about what can have data at all in this service."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.check.catalogue import TARGET_LABELS, Series
from roadworthy.check.promql import Selector
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject
from roadworthy.telemetry.spec import OVERFLOW


def always_empty(subject: Subject) -> Iterator[Problem]:
    """Find selectors of what this service can have no series of."""
    found = (
        (expression, node)
        for expression, node in subject.nodes()
        if isinstance(node, Selector) and not expression.may_be_empty
    )
    for expression, selector in dict.fromkeys(found):
        series = subject.catalogue.get(selector.metric or "")
        if series is not None and not series.open and (reason := _reason(selector, series)):
            yield Problem.of(
                expression,
                f"asks for {series.name}, and can only find nothing: {reason}",
                "leave it out, or declare what it is about",
            )


def _reason(selector: Selector, series: Series) -> str:
    for label, values in series.labels.items():
        # A queue without a job is another rule's.
        if label != "job" and values is not None and not values.prefixes and values.listed <= {OVERFLOW}:
            return f"the service has no {label}"
    wanted: dict[str, str] = {}
    for matcher in selector.matchers:
        if matcher.operator == "=" and matcher.label in series.labels:
            if matcher.value == "" and matcher.label not in TARGET_LABELS:
                return f"its label {matcher.label!r} is never empty"
            if wanted.setdefault(matcher.label, matcher.value) != matcher.value:
                return f"the label {matcher.label!r} cannot have two values at once"
    return ""


RULES = (Rule("RW039", "An expression asks for what the service can have no series of", "error", always_empty),)
