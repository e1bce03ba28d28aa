"""Rules about how far back an expression looks: at enough scrapes, and at no more than is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from roadworthy.check.expression import Expression
from roadworthy.check.promql import Call, Selector, Subquery
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject
from roadworthy.objectives.collection import RETENTION, SCRAPE_INTERVAL

_CHANGES = frozenset(
    {"rate", "irate", "increase", "delta", "idelta", "deriv", "predict_linear", "resets", "changes"}
    | {"holt_winters", "double_exponential_smoothing"}
)
_FEWEST, _ENOUGH = 2, 4


def too_short(subject: Subject) -> Iterator[Problem]:
    """Find ranges that hold fewer samples than their function needs, so that there is no result."""
    for expression, function, selector, range in _ranges(subject):
        needed = _FEWEST if function in _CHANGES else 1
        if range < needed * SCRAPE_INTERVAL:
            yield Problem.of(
                expression,
                f"takes {function}() of {selector.metric} over {_shown(range)}, which holds fewer than {needed} of the "
                f"scrapes that come each {_shown(SCRAPE_INTERVAL)}",
                f"look back over {_shown(_ENOUGH * SCRAPE_INTERVAL)} at least",
            )


def barely_enough(subject: Subject) -> Iterator[Problem]:
    """Find ranges that one lost scrape makes too short."""
    for expression, function, selector, range in _ranges(subject):
        if function in _CHANGES and _FEWEST * SCRAPE_INTERVAL <= range < _ENOUGH * SCRAPE_INTERVAL:
            yield Problem.of(
                expression,
                f"takes {function}() of {selector.metric} over {_shown(range)}, which one lost scrape makes too short",
                f"look back over {_ENOUGH} scrapes: {_shown(_ENOUGH * SCRAPE_INTERVAL)}",
            )


def beyond_retention(subject: Subject) -> Iterator[Problem]:
    """Find ranges and offsets that reach further back than samples are kept: the answer is about what is left."""
    for expression, node in subject.nodes():
        if isinstance(node, Selector | Subquery):
            back = (node.range or timedelta(0)) + (node.offset or timedelta(0))
            if back > RETENTION:
                yield Problem.of(
                    expression,
                    f"looks {_shown(back)} back, where samples are kept for {_shown(RETENTION)}",
                    "look less far back; what is to be known for longer is recorded elsewhere",
                )


def _ranges(subject: Subject) -> Iterator[tuple[Expression, str, Selector, timedelta]]:
    for expression, node in subject.nodes():
        if isinstance(node, Call):
            for argument in node.arguments:
                if isinstance(argument, Selector) and argument.range is not None:
                    yield expression, node.function, argument, argument.range


def _shown(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


RULES = (
    Rule("RW045", "A range holds too few scrapes for a result", "error", too_short),
    Rule("RW046", "A range is too short once a scrape is lost", "warning", barely_enough),
    Rule("RW047", "An expression looks further back than samples are kept", "error", beyond_retention),
)
