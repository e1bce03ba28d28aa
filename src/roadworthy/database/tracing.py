"""Statements as spans: their text without the values that were written into it, and never their arguments."""

from __future__ import annotations

import re

from roadworthy.telemetry.tracing import SPAN

_LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b(?<!\$\d)(?<!\$\d\d)")
_LONGEST_TEXT = 1000
_LONGEST_WORD = 20


def record(query: str, seconds: float, error: BaseException | None) -> None:
    """Record a statement that took so long and failed with `error`, where the calling code is being traced."""
    span = SPAN.get()
    if span is None:
        return
    text = " ".join(_LITERAL.sub("?", query[: 4 * _LONGEST_TEXT]).split())[:_LONGEST_TEXT]
    word = text.partition(" ")[0].upper()[:_LONGEST_WORD] or "statement"
    attributes = {"db.system.name": "postgresql", "db.operation.name": word, "db.query.text": text}
    span.record(word, "client", seconds, attributes, None if error is None else type(error).__name__)
