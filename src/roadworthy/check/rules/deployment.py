"""Rules about what stands in a directory of emitted and hand-written files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from roadworthy.check.catalogue import TARGET_LABELS
from roadworthy.check.expression import WATCHDOG, Expression
from roadworthy.check.expression import Rule as Given
from roadworthy.check.labels import carried
from roadworthy.check.nearest import suggestion
from roadworthy.check.promql import Selector, walk
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.rules.texts import USED_LABEL
from roadworthy.check.subject import Subject
from roadworthy.objectives.spec import SEVERITIES

_VALUE = re.compile(r"\{\{[^}]*(?:\$value\b|\.Value\b)")


def unreadable(subject: Subject) -> Iterator[Problem]:
    """Find files that are not what their place says they are."""
    for fault in () if subject.deployment is None else subject.deployment.faults:
        yield Problem("file", fault.place, f"the file cannot be read: {fault.reason}", "emit it again", fault.place)


def without_runbook(subject: Subject) -> Iterator[Problem]:
    """Find alerts that lead to no runbook, or to a page that is not there."""
    pages = frozenset[str]() if subject.deployment is None else subject.deployment.runbooks
    for alert, rule in _written(subject):
        link = rule.annotations.get("runbook_url", "").partition("#")[0]
        if not link.strip():
            yield Problem.of(alert, "has no runbook, so whom it wakes is left alone", "add the annotation runbook_url")
        elif pages and link.endswith(".md") and not any(f"/{link}".endswith(f"/{page}") for page in pages):
            yield Problem.of(
                alert,
                f"leads to the runbook {link}, which is not among the runbooks",
                suggestion("/".join(link.split("/")[-2:]), pages, "page"),
            )


def without_owner(subject: Subject) -> Iterator[Problem]:
    """Find alerts that nobody owns."""
    spec = subject.spec
    if not spec.owner and (spec.alerts or spec.objectives):
        yield Problem(
            "service",
            spec.name,
            f"service {spec.name!r} has alerts, and nobody owns them",
            "name who is called when the runbook does not help, as in Service(..., owner='search')",
        )
    for alert, rule in _written(subject):
        if spec.owner and alert.name != WATCHDOG and not rule.labels.get("owner"):
            yield Problem.of(alert, "has no owner", f"add the label owner, as in owner: {spec.owner}")


def unrouted(subject: Subject) -> Iterator[Problem]:
    """Find alerts without the labels by which they are routed, grouped and muted."""
    for alert, rule in _written(subject):
        if not rule.labels.get("service"):
            yield Problem.of(
                alert,
                "has no label service, so an inhibition may take it for another one without it",
                f"add it, as in service: {subject.spec.name}",
            )
        if rule.severity not in SEVERITIES:
            told = f"the severity {rule.severity!r}, which reaches nobody" if rule.severity else "no severity"
            yield Problem.of(alert, f"has {told}", f"make it one of {', '.join(SEVERITIES)}")


def twice(subject: Subject) -> Iterator[Problem]:
    """Find rules that make the same series as another one."""
    seen: dict[tuple[object, ...], str] = {}
    for one in subject.expressions:
        if one.rule is None or not one.rule.written:
            continue
        # What a recording's expression carries may tell its series from another one's.
        whole = one.kind == "alert" or (one.tree is not None and carried(one.tree, subject.catalogue) == frozenset())
        key = (one.kind, one.name, "" if whole else one.text, *sorted(one.rule.labels.items()))
        if (before := seen.setdefault(key, one.place)) != one.place:
            yield Problem.of(
                one, f"has the same name and labels as the one at {before}", "rename one, or give it a label of its own"
            )


def changing_label(subject: Subject) -> Iterator[Problem]:
    """Find alerts with their value in a label: each new value is another alert, which begins to wait anew."""
    for alert, rule in _written(subject):
        for name, text in rule.labels.items():
            if _VALUE.search(text):
                yield Problem.of(
                    alert,
                    f"has its value in the label {name!r}, so it is another alert whenever that changes",
                    "say the value in an annotation",
                )


def unbounded_label(subject: Subject) -> Iterator[Problem]:
    """Find alerts whose label is made of one that has no declared values."""
    for alert, rule in _written(subject):
        nodes = () if alert.tree is None else walk(alert.tree)
        series = [subject.catalogue.get(node.metric or "") for node in nodes if isinstance(node, Selector)]
        opened = {
            label
            for one in series
            for label, values in ({} if one is None else one.labels).items()
            if values is None and label not in TARGET_LABELS
        }
        for name, text in rule.labels.items():
            for label in sorted({first or second for first, second in USED_LABEL.findall(text)} & opened):
                yield Problem.of(
                    alert,
                    f"makes its label {name!r} of {label!r}, which may have any value",
                    "declare that label's values, or say it in an annotation",
                )


def undeclared(subject: Subject) -> Iterator[Problem]:
    """Find rules whose label says that they are about something which is not declared any more."""
    spec = subject.spec
    known: Mapping[str, list[str]] = {
        "slo": [objective.name for objective in spec.objectives],
        "queue": [queue.name for queue in spec.queues],
        "cache": [cache.name for cache in spec.caches],
        "limit": [limit.name for limit in spec.limits],
        "dependency": [dependency.name for dependency in spec.dependencies],
        "breaker": [dependency.name for dependency in spec.dependencies],
        "metric": [metric.name for metric in spec.metrics],
    }
    for one in subject.expressions:
        for label, value in ({} if one.rule is None else one.rule.labels).items():
            if label in known and "{{" not in value and value not in known[label]:
                yield Problem.of(
                    one,
                    f"has the label {label}={value!r}, and there is no such {label}",
                    suggestion(value, known[label], label),
                )


def asks_nothing(subject: Subject) -> Iterator[Problem]:
    """Find panels without a query."""
    for panel in () if subject.deployment is None else subject.deployment.panels:
        if panel.queries == 0:
            yield Problem(
                "panel", panel.name, f"panel {panel.name!r} asks nothing", "give it a query, or remove it", panel.place
            )


def unwatched(subject: Subject) -> Iterator[Problem]:
    """Find metrics of the service that no alert, objective, panel, recording or runbook looks at."""
    if subject.deployment is None:
        return
    watched = {node.metric for _, node in subject.nodes() if isinstance(node, Selector)}
    promised = {objective.metric for objective in subject.spec.objectives}
    for metric in subject.spec.metrics:
        if metric.name not in promised and watched.isdisjoint(metric.series_names):
            yield Problem(
                "metric",
                metric.name,
                f"metric {metric.name!r} is measured, and nothing looks at it",
                "put it on a dashboard, alert on it, or stop measuring it",
            )


def _written(subject: Subject) -> Iterator[tuple[Expression, Given]]:
    """Yield the alerts that stand in files."""
    for one in subject.expressions:
        if (rule := one.alerting) is not None and rule.written:
            yield one, rule


RULES = (
    Rule("RW080", "A file cannot be read as what it should be", "error", unreadable),
    Rule("RW081", "An alert has no runbook", "error", without_runbook),
    Rule("RW082", "Nobody owns an alert", "warning", without_owner),
    Rule("RW083", "An alert lacks the labels by which it is routed", "error", unrouted),
    Rule("RW084", "Two rules make the same series", "error", twice),
    Rule("RW085", "An alert has its value in a label", "error", changing_label),
    Rule("RW086", "An alert's label may have any value", "warning", unbounded_label),
    Rule("RW087", "A rule is about something that is not declared", "error", undeclared),
    Rule("RW088", "A panel asks nothing", "error", asks_nothing),
    Rule("RW089", "Nothing looks at a metric", "warning", unwatched),
)
