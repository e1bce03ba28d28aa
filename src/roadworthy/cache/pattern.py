"""Patterns of names: `*` stands for any characters, `?` for one, everything else for itself."""

from __future__ import annotations

import re


def literal_head(pattern: str) -> str:
    """Return what every name that a pattern matches begins with."""
    return re.split(r"[*?]", pattern, maxsplit=1)[0]


def compiled(pattern: str) -> re.Pattern[str]:
    """Return an expression that matches what `pattern` does, in time that grows with the product of both lengths.

    Between two stars the first fit is as good as any other, so it is never given up for a later one.
    """
    first, *others = ("".join(map(_piece, part)) for part in re.split(r"\*+", pattern))
    if not others:
        return re.compile(rf"{first}\Z", re.DOTALL)
    *middle, last = others
    between = "".join(f"(?>.*?{part})" for part in middle)
    return re.compile(rf"{first}{between}.*{last}\Z", re.DOTALL)


def _piece(character: str) -> str:
    return "." if character == "?" else re.escape(character)
