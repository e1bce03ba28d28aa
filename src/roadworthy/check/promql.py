"""PromQL as a small tree: what an expression selects, how it matches, groups and compares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from roadworthy.errors import MissingExtra

try:
    import promql_parser as promql
except ImportError as error:
    raise MissingExtra("`roadworthy check`", "emit") from error

COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
SET_OPERATORS = frozenset({"and", "or", "unless"})

_OPERATORS = (
    (promql.MatchOp.Equal, "="),
    (promql.MatchOp.NotEqual, "!="),
    (promql.MatchOp.Re, "=~"),
    (promql.MatchOp.NotRe, "!~"),
)
_MANY_SIDES = (
    (promql.VectorMatchCardinality.ManyToOne, "left"),
    (promql.VectorMatchCardinality.OneToMany, "right"),
)


class InvalidExpression(ValueError):
    """The text is no PromQL."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on a label; `operator` is =, !=, =~ or !~."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of one metric; None where the metric is chosen by a pattern. `range` makes it a range vector."""

    metric: str | None
    matchers: tuple[Matcher, ...]
    range: timedelta | None = None
    offset: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Aggregation:
    """An aggregation; `labels` are kept, or dropped where `without`."""

    operator: str
    inner: Node
    labels: tuple[str, ...] = ()
    without: bool = False
    parameter: Node | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A function applied to arguments."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary operation. `matching` are the labels of on() or, where `ignoring`, of ignoring(); None without either.

    `many` is the side that may have several partners, with `included` labels taken from the other.
    """

    operator: str
    left: Node
    right: Node
    returns_bool: bool = False
    matching: tuple[str, ...] | None = None
    ignoring: bool = False
    many: str | None = None
    included: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subquery:
    """An expression evaluated over a range, each `step`; None is the interval of evaluation."""

    inner: Node
    range: timedelta
    step: timedelta | None = None
    offset: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Literal:
    """A number or a string."""

    value: float | str


Node = Selector | Aggregation | Call | Binary | Subquery | Literal


def parse(text: str) -> Node:
    """Return the tree of a PromQL expression, or raise `InvalidExpression` saying what is wrong with it."""
    try:
        return _node(promql.parse(text))
    except ValueError as error:
        raise InvalidExpression(str(error).strip()) from None


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything under it."""
    yield node
    for child in children(node):
        yield from walk(child)


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly under one."""
    match node:
        case Aggregation(inner=inner, parameter=None) | Subquery(inner=inner):
            return (inner,)
        case Aggregation(inner=inner, parameter=parameter):
            return (parameter, inner) if parameter is not None else (inner,)
        case Call(arguments=arguments):
            return arguments
        case Binary(left=left, right=right):
            return (left, right)
    return ()


def _node(expression: Any) -> Node:
    match expression:
        case promql.ParenExpr() | promql.UnaryExpr():
            return _node(expression.expr)
        case promql.VectorSelector():
            return _selector(expression, None)
        case promql.MatrixSelector():
            return _selector(expression.vector_selector, expression.range)
        case promql.AggregateExpr():
            return _aggregation(expression)
        case promql.BinaryExpr():
            return _binary(expression)
        case promql.Call():
            return Call(expression.func.name, tuple(_node(argument) for argument in expression.args))
        case promql.SubqueryExpr():
            return Subquery(
                _node(expression.expr), expression.range or timedelta(0), expression.step, expression.offset
            )
        case promql.NumberLiteral() | promql.StringLiteral():
            return Literal(expression.val)
    raise InvalidExpression(f"{type(expression).__name__} is not understood")


def _selector(selector: promql.VectorSelector, range: timedelta | None) -> Selector:
    if selector.matchers.or_matchers:
        raise InvalidExpression("Prometheus knows no `or` between braces")
    metric = selector.name
    matchers = []
    for matcher in selector.matchers.matchers:
        if matcher.name == "__name__":
            metric = matcher.value if matcher.op == promql.MatchOp.Equal else None
        else:
            matchers.append(Matcher(matcher.name, _written(matcher.op), matcher.value))
    return Selector(metric, tuple(matchers), range, selector.offset)


def _written(operator: promql.MatchOp) -> str:
    return next(text for known, text in _OPERATORS if known == operator)


def _aggregation(expression: promql.AggregateExpr) -> Aggregation:
    modifier = expression.modifier
    return Aggregation(
        str(expression.op),
        _node(expression.expr),
        tuple(modifier.labels) if modifier is not None else (),
        modifier is not None and modifier.type == promql.AggModifierType.Without,
        None if expression.param is None else _node(expression.param),
    )


def _binary(expression: promql.BinaryExpr) -> Binary:
    left, right, modifier = _node(expression.lhs), _node(expression.rhs), expression.modifier
    if modifier is None:
        return Binary(str(expression.op), left, right)
    many = next((side for cardinality, side in _MANY_SIDES if cardinality == modifier.card), None)
    matching = modifier.matching
    return Binary(
        str(expression.op),
        left,
        right,
        modifier.return_bool,
        None if matching is None else tuple(matching.labels),
        matching is not None and matching.type == promql.LabelModifierType.Exclude,
        many,
        tuple(modifier.group_labels or ()),
    )
