"""The thresholds of panels, read off the alerts that look at the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from roadworthy.emit.alert import Alert
from roadworthy.emit.dashboard import Dashboard, Panel, Side, Threshold

_PART = re.compile(
    r"""
    "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'   # a string, whatever is in it
    | [(){}\[\]]
    | == | != | >= | <= | > | <
    | [^"'(){}\[\]=!<>]+
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?:$|(?:and|or|unless)\b)")
"""A number by itself: what is reckoned with is no threshold."""
_SIDES: dict[str, Side] = {">": "above", ">=": "above", "<": "below", "<=": "below", "==": "at"}


def threshold(expression: str) -> Threshold | None:
    """Return the number that an alert's expression is first compared with; None where there is none.

    A comparison within brackets mostly chooses series, such as those with enough events, so one outside of all counts
    before any within.
    """
    depth, parts = 0, _PART.findall(expression)
    within: Threshold | None = None
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if part in ("(", "{", "["):
            depth += 1
        elif part in (")", "}", "]"):
            depth -= 1
        elif part in _SIDES:
            number = _NUMBER.match(following)
            found = None if number is None else Threshold(float(number[1]), _SIDES[part])
            if depth == 0:
                return found
            within = within or found
    return within


def with_thresholds(board: Dashboard, alerts: Iterable[Alert]) -> Dashboard:
    """Return a dashboard whose panels have the thresholds of their alerts; one that is not there is not named."""
    known = tuple(alerts)
    rows = (replace(row, panels=tuple(_resolved(panel, known) for panel in row.panels)) for row in board.rows)
    return replace(board, rows=tuple(rows))


def _resolved(panel: Panel, alerts: tuple[Alert, ...]) -> Panel:
    if panel.alert is None:
        return panel
    found = (one for one in alerts if one.name == panel.alert and panel.alert_labels.items() <= one.labels.items())
    alert = next(found, None)
    if alert is None:
        return replace(panel, alert=None)
    return replace(panel, threshold=threshold(alert.expression))
