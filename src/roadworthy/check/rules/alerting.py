"""Rules about when alerts fire: on a condition, over a time, and not forever."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from roadworthy.check.expression import WATCHDOG
from roadworthy.check.promql import (
    COMPARISONS,
    Aggregation,
    Binary,
    Call,
    Literal,
    Node,
    Selector,
    Subquery,
    children,
    walk,
)
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject
from roadworthy.jobs.metrics import WORKER_HEARTBEAT

_RATES = frozenset({"rate", "irate", "increase"})
_ADDING = frozenset({"sum", "min", "max", "avg", "topk", "bottomk"})
_ABSENCES = frozenset({"absent", "absent_over_time"})
_ALARMS = frozenset({"ALERTS", "ALERTS_FOR_STATE"})


def compares_nothing(subject: Subject) -> Iterator[Problem]:
    """Find alerts without a condition: they fire for as long as there is data."""
    for alert, _, tree in subject.alerts():
        if alert.name != WATCHDOG and not _conditional(tree):
            yield Problem.of(
                alert,
                "compares nothing, so it fires whenever there is data",
                "say when it should fire with a comparison, as in `... > 0` (without `bool`)",
            )


def _conditional(node: Node) -> bool:
    """Whether the node has no result at some times, which is when the alert is silent."""
    match node:
        case Binary(operator=operator, returns_bool=False) if operator in COMPARISONS:
            return True
        case Binary(operator="unless"):
            return True
        case Binary(operator="or", left=left, right=right):
            return _conditional(left) and _conditional(right)
        case Call(function=function) if function in _ABSENCES:
            return True
        case Selector(metric=metric):
            return metric is None or metric in _ALARMS
        case Call(function="vector" | "scalar"):
            return False
    return any(_conditional(child) for child in children(node))


def raw_counter(subject: Subject) -> Iterator[Problem]:
    """Find alerts that compare a counter's total, which only grows until its process restarts."""
    for alert, node in ((alert, node) for alert, _, tree in subject.alerts() for node in walk(tree)):
        match node:
            case Binary(operator=operator, left=left, right=Literal(value=value)) if operator in COMPARISONS:
                side = left
            case Binary(operator=operator, left=Literal(value=value), right=right) if operator in COMPARISONS:
                side = right
            case _:
                continue
        counter = None if (operator, value) in (("==", 0), ("!=", 0)) else _bare_counter(side, subject)
        if counter is not None:
            yield Problem.of(
                alert,
                f"compares the total of the counter {counter}, which only grows until a restart",
                f"compare its growth: rate({counter}[5m]) or increase({counter}[1h])",
            )


def _bare_counter(node: Node, subject: Subject) -> str | None:
    match node:
        case Selector(metric=metric, range=None) if metric is not None:
            series = subject.catalogue.get(metric)
            return metric if series is not None and series.kind == "counter" else None
        case Aggregation(operator=operator, inner=inner) if operator in _ADDING:
            return _bare_counter(inner, subject)
    return None


def rated_gauge(subject: Subject) -> Iterator[Problem]:
    """Find rates of a gauge: each fall of it would count as a restart from zero."""
    for alert, node in subject.nodes():
        match node:
            case Call(function=function, arguments=(Selector(metric=metric),)) if function in _RATES:
                series = subject.catalogue.get(metric or "")
                if series is not None and series.kind == "gauge":
                    yield Problem.of(
                        alert,
                        f"takes {function}() of the gauge {metric}, which counts each fall as a restart",
                        f"use delta({metric}[...]) or deriv({metric}[...])",
                    )


def nervous(subject: Subject) -> Iterator[Problem]:
    """Find critical alerts that one bad scrape sets off: no time to wait, and no range looked back on."""
    for alert, rule, tree in subject.alerts():
        if rule.severity == "critical" and rule.duration == timedelta(0) and not _looks_back(tree):
            yield Problem.of(
                alert,
                "is critical and one bad scrape sets it off",
                "wait a little with for_=minutes(2)",
            )


def _looks_back(tree: Node) -> bool:
    return any(isinstance(node, Subquery) or (isinstance(node, Selector) and node.range) for node in walk(tree))


def vanishing(subject: Subject) -> Iterator[Problem]:
    """Find alerts on the age of heartbeats that are silent when there are no workers left to have one."""
    for alert, _, tree in subject.alerts():
        nodes = list(walk(tree))
        watches = any(isinstance(node, Selector) and node.metric == WORKER_HEARTBEAT.name for node in nodes)
        notices = any(isinstance(node, Call) and node.function in _ABSENCES for node in nodes)
        if watches and not notices:
            yield Problem.of(
                alert,
                f"looks at {WORKER_HEARTBEAT.name} alone, which is gone with the last worker, and then says nothing",
                f"add: or absent({WORKER_HEARTBEAT.name})",
            )


RULES = (
    Rule("RW040", "An alert compares nothing", "error", compares_nothing),
    Rule("RW041", "An alert compares a counter's total", "error", raw_counter),
    Rule("RW042", "An expression takes the rate of a gauge", "error", rated_gauge),
    Rule("RW043", "A critical alert fires on a single bad scrape", "warning", nervous),
    Rule("RW044", "An alert on heartbeats is silent without workers", "warning", vanishing),
)
