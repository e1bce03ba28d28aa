"""Prometheus's rule files, read with the line of each rule.

Format: https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from roadworthy.check.expression import Expression, Kind, Rule
from roadworthy.errors import MissingExtra

try:
    import yaml
except ImportError as error:
    raise MissingExtra("`roadworthy check`", "emit") from error

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}


class Unreadable(ValueError):
    """The text is not what its place says it is."""


def rules(text: str, path: str) -> Iterator[Expression]:
    """Yield the rules of the file at `path`.

    Raises:
        Unreadable: the text is no YAML, or has no groups of rules.
    """
    try:
        document = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise Unreadable(" ".join(str(error).split())) from None
    groups = _entries(document).get("groups")
    if not isinstance(groups, yaml.SequenceNode):
        raise Unreadable("it has no list of groups")
    for group in groups.value:
        listed = _entries(group).get("rules")
        for rule in listed.value if isinstance(listed, yaml.SequenceNode) else ():
            yield _rule(rule, path)


def duration(text: str) -> timedelta:
    """Return a duration as Prometheus writes it, as in 1h30m; what is none counts as none at all."""
    return sum((int(number) * _UNITS[unit] for number, unit in _PART.findall(text)), timedelta(0))


def _rule(node: Any, path: str) -> Expression:
    entries = _entries(node)
    place = f"{path}:{node.start_mark.line + 1}"
    kind: Kind = "alert" if "alert" in entries else "recording"
    name = _text(entries.get("alert" if kind == "alert" else "record"))
    if not name:
        raise Unreadable(f"the rule in line {node.start_mark.line + 1} names neither an alert nor what it records")
    rule = Rule(_texts(entries.get("labels")), _texts(entries.get("annotations")), duration(_text(entries.get("for"))))
    return Expression.of(kind, name, _text(entries.get("expr")), place, rule)


def _entries(node: Any) -> Mapping[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _texts(node: Any) -> Mapping[str, str]:
    return {name: _text(value) for name, value in _entries(node).items()}


def _text(node: Any) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
