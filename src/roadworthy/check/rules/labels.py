"""Rules about how expressions group and combine: the labels that they rely on must still be there."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.check.catalogue import TARGET_LABELS
from roadworthy.check.labels import carried, pinned, scalar
from roadworthy.check.nearest import suggestion
from roadworthy.check.promql import SET_OPERATORS, Aggregation, Binary, Call, Node, Selector
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject


def missing_label(subject: Subject) -> Iterator[Problem]:
    """Find grouping and matching by a label that what is grouped or matched does not carry."""
    for alert, node in subject.nodes():
        for clause, label, available in _named_labels(node, subject):
            if available is not None and label not in available:
                yield Problem.of(
                    alert,
                    f"has {clause} ({label}), but nothing there carries that label",
                    suggestion(label, available, "label"),
                )


def _named_labels(node: Node, subject: Subject) -> Iterator[tuple[str, str, frozenset[str] | None]]:
    match node:
        case Aggregation(inner=inner, labels=labels, without=without):
            available = carried(inner, subject.catalogue)
            yield from (("without" if without else "by", label, available) for label in labels)
        case Binary(left=left, right=right, matching=matching, ignoring=ignoring, included=included, many=many):
            on_left, on_right = carried(left, subject.catalogue), carried(right, subject.catalogue)
            if on_left is None or on_right is None:
                return
            shared = on_left | on_right if ignoring else on_left & on_right
            yield from (("ignoring" if ignoring else "on", label, shared) for label in matching or ())
            one = on_left if many == "right" else on_right
            yield from ((f"group_{many}", label, one) for label in included)


def never_meets(subject: Subject) -> Iterator[Problem]:
    """Find operations between two sides whose series have different labels and so never meet."""
    for alert, node in subject.nodes():
        if not isinstance(node, Binary) or node.operator == "or" or scalar(node.left) or scalar(node.right):
            continue
        if node.matching is not None and not node.ignoring:
            continue
        left, right = carried(node.left, subject.catalogue), carried(node.right, subject.catalogue)
        if left is None or right is None:
            continue
        alone = (left ^ right) - set(node.matching or ())
        if alone:
            yield Problem.of(
                alert,
                f"combines two sides with {node.operator!r} that never meet: only one of them carries "
                f"{', '.join(sorted(alone))}",
                "aggregate both sides by the same labels, or say which must be equal with on()",
            )


def never_equal(subject: Subject) -> Iterator[Problem]:
    """Find operations between two sides that are asked for different values of a label by which they should meet."""
    for alert, node in subject.nodes():
        if not isinstance(node, Binary) or node.operator in ("or", "unless") or scalar(node.left) or scalar(node.right):
            continue
        left, right = pinned(node.left, subject.catalogue), pinned(node.right, subject.catalogue)
        named = set(node.matching or ())
        for label in sorted(left.keys() & right.keys()):
            counts = node.matching is None or (label in named) is not node.ignoring
            if counts and left[label] != right[label]:
                yield Problem.of(
                    alert,
                    f"combines two sides with {node.operator!r} that never meet: {label} is {left[label]!r} in one, "
                    f"and {right[label]!r} in the other",
                    f"sum() both sides, or leave it out of the comparison with ignoring ({label})",
                )


def one_of_several(subject: Subject) -> Iterator[Problem]:
    """Find operations in which several series meet one without group_left or group_right: Prometheus refuses them.

    How many targets there are is not declared, so their labels do not count; nor do those of what tells of a target.
    """
    for alert, node in subject.nodes():
        if not isinstance(node, Binary) or node.operator in SET_OPERATORS or node.matching is None:
            continue
        left, right = carried(node.left, subject.catalogue), carried(node.right, subject.catalogue)
        if left is None or right is None or scalar(node.left) or scalar(node.right):
            continue
        named = set(node.matching)
        if not node.ignoring and not named <= left & right:
            continue
        for side, inner, labels in (("left", node.left, left), ("right", node.right, right)):
            rest = (labels & named if node.ignoring else labels - named) - {*TARGET_LABELS, *node.included}
            rest -= pinned(inner, subject.catalogue).keys()
            alone = node.ignoring and (left ^ right) - named
            told = isinstance(inner, Selector) and (inner.metric or "").endswith("_info")
            if rest and side != node.many and not alone and not told:
                clause = f"{'ignoring' if node.ignoring else 'on'} ({', '.join(node.matching)})"
                yield Problem.of(
                    alert,
                    f"combines with {clause} series that differ in {', '.join(sorted(rest))} on the {side}, where "
                    "there may be one only",
                    f"aggregate that side, or say group_{side} if it is the one with several",
                )
                break


def divides_by_itself(subject: Subject) -> Iterator[Problem]:
    """Find ratios of a metric's series to themselves, which are 1 whatever happens."""
    for alert, node in subject.nodes():
        if not isinstance(node, Binary) or node.operator != "/" or node.matching is not None:
            continue
        numerator, denominator = _rated(node.left), _rated(node.right)
        if numerator is not None and numerator == denominator:
            yield Problem.of(
                alert,
                f"divides each series of {numerator[1]} by itself, which is always 1",
                "put sum() around both sides, by the labels that the ratio is for",
            )


def _rated(node: Node) -> tuple[object, ...] | None:
    match node:
        case Call(function="rate" | "increase" as function, arguments=(Selector() as selector,)):
            return (function, selector.metric, selector.range, selector.offset)
    return None


def quantile_without_buckets(subject: Subject) -> Iterator[Problem]:
    """Find quantiles over a histogram whose buckets were added up, which have no value."""
    for alert, node in subject.nodes():
        match node:
            case Call(function="histogram_quantile", arguments=(_, histogram)):
                labels = carried(histogram, subject.catalogue)
                if labels is not None and "le" not in labels:
                    yield Problem.of(
                        alert,
                        "takes a quantile of something without the label 'le', which has no value",
                        "take it of the histogram's _bucket series, keeping le: sum by (le) (rate(..._bucket[5m]))",
                    )


def never_meets_at_all(subject: Subject) -> Iterator[Problem]:
    """Find operations whose two sides cannot meet, by their labels or by these labels' values."""
    yield from never_meets(subject)
    yield from never_equal(subject)


RULES = (
    Rule("RW034", "An expression groups or matches by a label that is not there", "error", missing_label),
    Rule("RW035", "The two sides of an operation never meet", "error", never_meets_at_all),
    Rule("RW036", "A ratio divides each series by itself", "error", divides_by_itself),
    Rule("RW037", "A quantile is taken without buckets", "error", quantile_without_buckets),
    Rule("RW038", "Several series meet one without saying so", "error", one_of_several),
)
