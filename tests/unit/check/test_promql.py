from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from roadworthy.check.promql import (
    Aggregation,
    Binary,
    Call,
    InvalidExpression,
    Literal,
    Matcher,
    Selector,
    Subquery,
    parse,
    walk,
)


def test_a_selector_with_every_kind_of_matcher() -> None:
    assert parse('a{b="1", c!="2", d=~"3", e!~"4"} offset 1h') == Selector(
        "a",
        (Matcher("b", "=", "1"), Matcher("c", "!=", "2"), Matcher("d", "=~", "3"), Matcher("e", "!~", "4")),
        None,
        timedelta(hours=1),
    )


@pytest.mark.parametrize(
    ("text", "metric"), [('{__name__="a"}', "a"), ('{__name__=~"a.*"}', None), ('{__name__!="a", b="c"}', None)]
)
def test_a_metric_named_by_a_matcher(text: str, metric: str | None) -> None:
    node = parse(text)
    assert isinstance(node, Selector)
    assert node.metric == metric


def test_a_range_belongs_to_its_selector() -> None:
    assert parse("rate(a[5m])") == Call("rate", (Selector("a", (), timedelta(minutes=5)),))


@pytest.mark.parametrize(
    ("text", "labels", "without"),
    [("sum by (b, c) (a)", ("b", "c"), False), ("sum without (b) (a)", ("b",), True), ("sum(a)", (), False)],
)
def test_an_aggregation(text: str, labels: tuple[str, ...], without: bool) -> None:
    assert parse(text) == Aggregation("sum", Selector("a", ()), labels, without)


def test_an_aggregation_with_a_parameter_is_walked_whole() -> None:
    tree = parse("topk(3, a)")
    assert [type(node) for node in walk(tree)] == [Aggregation, Literal, Selector]


@pytest.mark.parametrize(
    ("text", "many", "included"),
    [
        ("a / on (x) group_left (y) b", "left", ("y",)),
        ("a / on (x) group_right (y) b", "right", ("y",)),
        ("a / on (x) b", None, ()),
    ],
)
def test_a_binary_operation_with_matching(text: str, many: str | None, included: tuple[str, ...]) -> None:
    assert parse(text) == Binary(
        "/", Selector("a", ()), Selector("b", ()), matching=("x",), many=many, included=included
    )


def test_ignoring_and_bool() -> None:
    assert parse("a > bool ignoring (x) b") == Binary(
        ">", Selector("a", ()), Selector("b", ()), returns_bool=True, matching=("x",), ignoring=True
    )


def test_parentheses_and_signs_leave_no_trace() -> None:
    assert parse("-(a)") == Selector("a", ())


def test_a_subquery_is_walked_through() -> None:
    tree = parse("max_over_time((a - b)[1h:5m])")
    assert [type(node) for node in walk(tree)] == [Call, Subquery, Binary, Selector, Selector]


@pytest.mark.parametrize("text", ["sum(", "a{", "rate(a)", "a >", 'a{b="1" or c="2"}', "nonsense()"])
def test_what_is_no_promql_is_refused(text: str) -> None:
    with pytest.raises(InvalidExpression, match=r"\w"):
        parse(text)


def test_a_missing_parser_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['promql_parser'] = None\n"
        "from roadworthy import MissingExtra\n"
        "try:\n    import roadworthy.check.declaration\n"
        "except MissingExtra as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'roadworthy[emit]'" in done.stdout
