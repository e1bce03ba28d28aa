"""YAML for people to read: mappings and lists of plain values, in the order given, the same text each time.

What is written is a small part of YAML 1.2, whose flow form is JSON: any text that a reader could take for something
else is quoted as JSON quotes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

Value = Mapping[str, "Value"] | Sequence["Value"] | str | int | float | bool | None

_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./ %()-]*(?<! )|[0-9]+(ms|[smhdw])")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "nan", "inf", "y", "n"})


def document(value: Mapping[str, Value], *comment: str) -> str:
    """Return a mapping as a document, below lines of `comment`."""
    lines = [f"# {line}".rstrip() for line in comment]
    return "\n".join([*lines, *_block(value, 0)]) + "\n"


def _block(value: Value, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _entry(f"{indent}{_scalar(key)}:", inner, depth)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _item(inner, depth)


def _entry(head: str, value: Value, depth: int) -> Iterator[str]:
    if _is_nested(value):
        yield head
        yield from _block(value, depth + 1)
    elif isinstance(value, str) and "\n" in value.strip("\n") and value == value.strip():
        yield f"{head} |-"
        for line in value.split("\n"):
            yield f"{'  ' * (depth + 1)}{line}".rstrip()
    else:
        yield f"{head} {_scalar(value)}"


def _item(value: Value, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if not _is_nested(value):
        yield f"{indent}- {_scalar(value)}"
        return
    first, *rest = _block(value, depth + 1)
    yield f"{indent}- {first.lstrip()}"
    yield from rest


def _is_nested(value: Value) -> bool:
    return not isinstance(value, str) and isinstance(value, Mapping | Sequence) and bool(value)


def _scalar(value: Value) -> str:
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
            return value
        if '"' in value and "'" not in value and value.isprintable():
            return f"'{value}'"
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value)
