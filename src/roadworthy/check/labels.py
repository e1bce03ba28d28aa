"""Which labels the result of an expression carries, followed from its selectors up."""

from __future__ import annotations

from collections.abc import Mapping

from roadworthy.check.catalogue import Series
from roadworthy.check.promql import SET_OPERATORS, Aggregation, Binary, Call, Literal, Node, Selector, Subquery

Labels = frozenset[str] | None
"""The labels, or None where they cannot be known."""

_KEEPING = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
_SCALAR_FUNCTIONS = frozenset({"time", "scalar", "pi"})
_OPAQUE_FUNCTIONS = frozenset({"absent", "absent_over_time", "info"})


def carried(node: Node, catalogue: Mapping[str, Series]) -> Labels:
    """Return the labels of the series that a node results in."""
    match node:
        case Selector(metric=metric):
            series = catalogue.get(metric or "")
            return None if series is None or series.open else frozenset(series.labels)
        case Subquery(inner=inner):
            return carried(inner, catalogue)
        case Aggregation():
            return _aggregated(node, catalogue)
        case Call():
            return _called(node, catalogue)
        case Binary():
            return _combined(node, catalogue)
        case Literal():
            return frozenset()


def pinned(node: Node, catalogue: Mapping[str, Series]) -> Mapping[str, str]:
    """Return the labels that have one and the same value in all series of a node's result, with that value."""
    match node:
        case Selector(matchers=matchers):
            return {one.label: one.value for one in matchers if one.operator == "=" and one.value}
        case Aggregation(inner=inner) | Subquery(inner=inner):
            found = pinned(inner, catalogue)
        case Call(function="label_replace" | "label_join", arguments=(inner, Literal(value=made), *_)):
            found = {name: value for name, value in pinned(inner, catalogue).items() if name != made}
        case Call(arguments=arguments):
            found = next((pinned(one, catalogue) for one in arguments if not scalar(one)), {})
        case Binary(operator=operator, left=left, right=right) if operator != "or":
            found = pinned(right if scalar(left) or node.many == "right" else left, catalogue)
        case _:
            return {}
    kept = carried(node, catalogue)
    return found if kept is None else {name: value for name, value in found.items() if name in kept}


def scalar(node: Node) -> bool:
    """Whether the node is a number without labels, which combines with anything."""
    match node:
        case Literal():
            return True
        case Call(function=function):
            return function in _SCALAR_FUNCTIONS
        case Binary(left=left, right=right):
            return scalar(left) and scalar(right)
    return False


def _aggregated(node: Aggregation, catalogue: Mapping[str, Series]) -> Labels:
    inner = carried(node.inner, catalogue)
    if inner is None or node.operator in _KEEPING:
        return inner
    labels = inner - set(node.labels) if node.without else inner & set(node.labels)
    if node.operator == "count_values" and isinstance(node.parameter, Literal):
        labels |= {str(node.parameter.value)}
    return labels


def _called(node: Call, catalogue: Mapping[str, Series]) -> Labels:
    if node.function in _OPAQUE_FUNCTIONS:
        return None
    vectors = [argument for argument in node.arguments if not scalar(argument)]
    if node.function == "vector" or not vectors:
        return frozenset()
    labels = carried(vectors[0], catalogue)
    if labels is None:
        return None
    if node.function in ("label_replace", "label_join") and isinstance(node.arguments[1], Literal):
        return labels | {str(node.arguments[1].value)}
    return labels - {"le"} if node.function.startswith("histogram_") else labels


def _combined(node: Binary, catalogue: Mapping[str, Series]) -> Labels:
    if scalar(node.left) or scalar(node.right):
        return carried(node.right if scalar(node.left) else node.left, catalogue)
    left, right = carried(node.left, catalogue), carried(node.right, catalogue)
    if node.operator in SET_OPERATORS:
        return left if node.operator != "or" or left == right else None
    many = right if node.many == "right" else left
    if many is None:
        return None
    if node.many is not None:
        return many | set(node.included)
    if node.matching is None:
        return many
    return many - set(node.matching) if node.ignoring else many & set(node.matching)
