"""Runbooks: the queries that their pages tell people to ask."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.check.expression import Expression

_BLOCK = re.compile(r"^(?P<indent>[ ]*)```promql[ ]*\n(?P<query>.*?)^[ ]*```", re.MULTILINE | re.DOTALL)


def queries(text: str, path: str, name: str) -> Iterator[Expression]:
    """Yield each fenced block of PromQL in the page at `path`, with its line."""
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start("query")) + 1
        yield Expression.of("runbook", name, block["query"].strip(), f"{path}:{line}")
