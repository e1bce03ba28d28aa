"""Rules about numbers: thresholds that can be reached, and divisions that have an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.check.labels import scalar
from roadworthy.check.promql import COMPARISONS, Binary, Call, Literal, Node, Selector, walk
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject
from roadworthy.database.metrics import POOL_LIMIT
from roadworthy.resilience.shedding_metrics import LIMIT

_SHARE = re.compile(r".*:ratio(?:_rate)?\d*\w*")
_TURNED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}
_NEVER_ZERO = frozenset({POOL_LIMIT.name, LIMIT.name, "process_max_fds", "process_start_time_seconds"})
_PART = re.compile(r"_(?:bucket|sum|count)$")


def unreachable_share(subject: Subject) -> Iterator[Problem]:
    """Find recorded shares that are to be above all of what there is: such a row of a burn rate never fires."""
    for expression, node in subject.nodes():
        for side, operator, value in _compared(node):
            never = (operator == ">" and value >= 1) or (operator == ">=" and value > 1)
            if never and isinstance(side, Selector) and _SHARE.fullmatch(side.metric or ""):
                yield Problem.of(
                    expression,
                    f"wants {side.metric} to be {operator} {value:g}, and a share is never more than 1",
                    "leave the row out: so much of so low an objective's budget cannot be used up so fast",
                )


def beyond_the_buckets(subject: Subject) -> Iterator[Problem]:
    """Find quantiles that are compared with more than the last bucket, which they never exceed."""
    for expression, node in subject.nodes():
        for side, operator, value in _compared(node):
            last = _last_bucket(side, subject)
            if last is not None and ((operator == ">" and value >= last) or (operator == ">=" and value > last)):
                yield Problem.of(
                    expression,
                    f"wants a quantile to be {operator} {value:g}, and its last bucket ends at {last:g}, past which "
                    "it never is",
                    f"add a bucket above {value:g}",
                )


def unguarded_division(subject: Subject) -> Iterator[Problem]:
    """Find divisions by what can be 0, where the answer would be recorded, or make an alert fire."""
    for expression, tree in subject.parsed():
        if expression.kind == "recording":
            divisions = _divisions(tree)
        elif expression.kind == "alert":
            divisions = (node for part in walk(tree) for node in _risen(part) if _mixed(node))
        else:
            continue
        for division in dict.fromkeys(divisions):
            if not _guarded(division.right, tree) and not _metrics(division.right) <= _NEVER_ZERO:
                yield Problem.of(
                    expression,
                    f"divides by {_shown(division.right)}, and where that is 0 the answer is no number",
                    "divide by what is there alone: / (... > 0)",
                )


def _compared(node: Node) -> Iterator[tuple[Node, str, float]]:
    match node:
        case Binary(operator=operator, left=left, right=Literal(value=float() | int() as value)):
            yield left, operator, float(value)
        case Binary(operator=operator, left=Literal(value=float() | int() as value), right=right):
            yield right, _TURNED.get(operator, operator), float(value)


def _last_bucket(node: Node, subject: Subject) -> float | None:
    match node:
        case Call(function="histogram_quantile", arguments=(_, inner)):
            names = {part.metric for part in walk(inner) if isinstance(part, Selector)}
            series = subject.catalogue.get(names.pop() or "") if len(names) == 1 else None
            bounds = None if series is None else series.labels.get("le")
            finite = [float(bound) for bound in bounds.listed if bound != "+Inf"] if bounds is not None else []
            return max(finite, default=None)
    return None


def _risen(node: Node) -> Iterator[Binary]:
    """Yield the divisions whose answer is to be above something, as infinity is."""
    match node:
        case Binary(operator=">" | ">=" | "!=", left=left):
            yield from _divisions(left)


def _divisions(tree: Node) -> Iterator[Binary]:
    for node in walk(tree):
        if isinstance(node, Binary) and node.operator == "/" and not scalar(node.right):
            yield node


def _mixed(division: Binary) -> bool:
    """Whether something can be divided that is not part of what it is divided by."""
    return not _metrics(division.left) & _metrics(division.right)


def _guarded(divisor: Node, tree: Node) -> bool:
    """Whether the divisor is compared, or another side of the expression compares one of its metrics."""
    if any(isinstance(node, Binary) and node.operator in COMPARISONS for node in walk(divisor)):
        return True
    sides = (
        side for node in walk(tree) if isinstance(node, Binary) and node.operator == "and" for side in _sides(node)
    )
    return any(_metrics(divisor) & _metrics(side) for side in sides)


def _sides(node: Binary) -> Iterator[Node]:
    for side in (node.left, node.right):
        for left, operator, _ in _compared(side):
            if operator in (">", ">=", "!=") and not any(_divisions(left)):
                yield left


def _metrics(node: Node) -> set[str]:
    return {_PART.sub("", part.metric) for part in walk(node) if isinstance(part, Selector) and part.metric}


def _shown(node: Node) -> str:
    return " and ".join(sorted(_metrics(node))) or "an expression"


RULES = (
    Rule("RW055", "An alert wants a share above all that there is", "error", unreachable_share),
    Rule("RW056", "An alert wants a quantile above the last bucket", "error", beyond_the_buckets),
    Rule("RW057", "An expression divides by what can be zero", "warning", unguarded_division),
)
