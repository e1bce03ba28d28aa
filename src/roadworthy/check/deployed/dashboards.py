"""Grafana's dashboards as JSON: the queries of their panels, annotations and variables.

Format: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from roadworthy.check.deployed.rule_files import Unreadable
from roadworthy.check.expression import Expression

MAY_BE_EMPTY = "May be empty: "
"""How the sentence of a panel's description begins that says why it may have no data."""

_TEXT_PANELS = frozenset({"row", "text", "dashlist", "news", "alertlist", "annolist", "welcome"})
_DURATIONS = (
    (re.compile(r"\$(?:\{__rate_interval\}|__rate_interval\b)"), "2m"),
    (re.compile(r"\$(?:\{__(?:interval|range)\}|__(?:interval|range)\b)"), "5m"),
    (re.compile(r"\[\$(?:\{\w+(?::\w+)?\}|\w+)"), "[5m"),
)
_VALUE = re.compile(r'(?:=~|=)\s*"[^"]*\$(?:\{\w+(?::\w+)?\}|[a-zA-Z_]\w*)[^"]*"')
_OTHER_VALUE = re.compile(r'(?:!~|!=)\s*"[^"]*\$(?:\{\w+(?::\w+)?\}|[a-zA-Z_]\w*)[^"]*"')
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<series>.*),)?\s*(?P<label>\w+)\s*\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel that shows data, with how many queries it has."""

    name: str
    place: str
    queries: int


def panels(text: str, path: str) -> tuple[tuple[Panel, ...], tuple[Expression, ...]]:
    """Return the panels of the dashboard at `path`, and every query, with Grafana's variables standing for anything.

    Raises:
        Unreadable: the text is no JSON object.
    """
    try:
        document = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from None
    if not isinstance(document, dict):
        raise Unreadable("it is no dashboard")
    title = str(document.get("title") or path)
    shown: list[Panel] = []
    found: list[Expression] = []
    at = 0
    for panel in _panels(document):
        name = f"{title} / {panel.get('title') or panel.get('id')}"
        queries = [str(target["expr"]) for target in _listed(panel, "targets") if target.get("expr")]
        if panel.get("type") not in _TEXT_PANELS:
            shown.append(Panel(name, f"{path}:{_line(text, _position(text, str(panel.get('title'))))}", len(queries)))
        for query in queries:
            at = _position(text, query, at)
            found.append(_query(name, query, f"{path}:{_line(text, at)}", _reason(panel)))
    found += _beside(document, title, text, path)
    return tuple(shown), tuple(found)


def filled(query: str) -> str:
    """Return a query as Grafana would send it, where variables stand for anything: "" and `.*` by what they match."""
    for pattern, duration in _DURATIONS:
        query = pattern.sub(duration, query)
    return _OTHER_VALUE.sub('!=""', _VALUE.sub('=~".*"', query))


def _panels(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in _listed(document, "panels"):
        yield panel
        yield from _panels(panel)


def _listed(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = holder.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _query(name: str, query: str, place: str, reason: str) -> Expression:
    return Expression.of("panel", name, filled(query), place, may_be_empty=reason)


def _reason(panel: dict[str, Any]) -> str:
    _, found, reason = str(panel.get("description") or "").rpartition(MAY_BE_EMPTY)
    return reason.strip() if found else ""


def _beside(document: dict[str, Any], title: str, text: str, path: str) -> Iterator[Expression]:
    """Yield the queries of annotations and variables; neither needs to have data."""
    for holder, what in (("annotations", "annotation"), ("templating", "variable")):
        inside = document.get(holder)
        for one in _listed(inside, "list") if isinstance(inside, dict) else ():
            name = f"{title} / {what} {one.get('name')}"
            written = one.get("expr") or one.get("query")
            query = written.get("query") if isinstance(written, dict) else written
            if not isinstance(query, str) or one.get("type") not in (None, "dashboard", "query"):
                continue
            place = f"{path}:{_line(text, _position(text, query))}"
            if what == "annotation" and one.get("expr"):
                yield _query(name, query, place, "nothing may have happened")
            elif (values := _LABEL_VALUES.fullmatch(query.strip())) and values["series"]:
                yield _query(name, f"count by ({values['label']}) ({values['series']})", place, "a variable")


def _position(text: str, inside: str, after: int = 0) -> int:
    """Return where a string stands next after a position, 0 where it is not found as it is."""
    for written in (json.dumps(inside), json.dumps(inside, ensure_ascii=False)):
        for start in (after + 1, 0):
            if (at := text.find(written, start)) >= 0:
                return at
    return 0


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
