"""What to ask a running Prometheus of an expression, so that silence tells something.

An alert has no result while all is well; its parts without their comparisons have. A panel or recording is asked as it
is, and without its comparisons where it has nothing to show.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from roadworthy.check.promql import COMPARISONS, Aggregation, Binary, Call, Literal, Node, Selector, Subquery, walk

_ABSENCES = frozenset({"absent", "absent_over_time"})


def parts(tree: Node) -> tuple[Node, ...]:
    """Return what must have data for an expression to tell anything: without comparisons, `or` taken apart."""
    match tree:
        case Binary(operator="or", left=left, right=right):
            return parts(left) + parts(right)
        case Binary(operator="unless", left=left):
            return parts(left)
    return (_bare(tree),)


def selectors(tree: Node) -> Iterator[Selector]:
    """Yield the selectors of an expression, each once."""
    yield from dict.fromkeys(node for node in walk(tree) if isinstance(node, Selector))


def written(node: Node) -> str:
    """Return a node as PromQL."""
    match node:
        case Literal(value=value):
            return f'"{_escaped(value)}"' if isinstance(value, str) else f"{value:.17g}"
        case Selector():
            return _selector(node)
        case Subquery(inner=inner, range=range, step=step, offset=offset):
            return f"({written(inner)})[{_length(range)}:{_length(step) if step else ''}]{_offset(offset)}"
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(written, arguments))})"
        case Aggregation(operator=operator, inner=inner, labels=labels, without=without, parameter=parameter):
            clause = f" {'without' if without else 'by'} ({', '.join(labels)}) " if labels or without else ""
            first = f"{written(parameter)}, " if parameter is not None else ""
            return f"{operator}{clause}({first}{written(inner)})"
        case Binary():
            return f"({written(node.left)}) {node.operator}{_matching(node)} ({written(node.right)})"


def _bare(node: Node) -> Node:
    match node:
        case Binary(operator=operator, left=left, right=right) if operator in COMPARISONS:
            if isinstance(right, Literal) or isinstance(left, Literal):
                return _bare(left if isinstance(right, Literal) else right)
            return _with_operator(node, "+", _bare(left), _bare(right))
        case Binary(operator="unless", left=left):
            return _bare(left)
        case Binary(operator=operator, left=left, right=right):
            return _with_operator(node, operator, _bare(left), _bare(right))
        case Call(function=function, arguments=(inner,)) if function in _ABSENCES:
            return Call("last_over_time", (inner,)) if function == "absent_over_time" else _bare(inner)
        case Call(function=function, arguments=arguments):
            return Call(function, tuple(map(_bare, arguments)))
        case Aggregation(operator=operator, inner=inner, labels=labels, without=without, parameter=parameter):
            return Aggregation(operator, _bare(inner), labels, without, parameter)
        case Subquery(inner=inner, range=range, step=step, offset=offset):
            return Subquery(_bare(inner), range, step, offset)
    return node


def _with_operator(node: Binary, operator: str, left: Node, right: Node) -> Binary:
    return Binary(operator, left, right, False, node.matching, node.ignoring, node.many, node.included)


def _selector(node: Selector) -> str:
    conditions = ", ".join(f'{one.label}{one.operator}"{_escaped(one.value)}"' for one in node.matchers)
    braces = f"{{{conditions}}}" if conditions or node.metric is None else ""
    length = f"[{_length(node.range)}]" if node.range else ""
    return f"{node.metric or ''}{braces}{length}{_offset(node.offset)}"


def _matching(node: Binary) -> str:
    text = " bool" if node.returns_bool else ""
    if node.matching is not None:
        text += f" {'ignoring' if node.ignoring else 'on'} ({', '.join(node.matching)})"
    return f"{text} group_{node.many} ({', '.join(node.included)})" if node.many else text


def _length(duration: timedelta) -> str:
    return f"{round(duration / timedelta(milliseconds=1))}ms"


def _offset(duration: timedelta | None) -> str:
    if not duration:
        return ""
    return f" offset -{_length(-duration)}" if duration < timedelta(0) else f" offset {_length(duration)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
