"""Just enough of Markdown to hold the documentation to what exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = tuple(sorted(DOCS.rglob("*.md")))

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FIRST_CELL = re.compile(r"^\| `([^`]+)`", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands after its first fence, its text, and the line it begins at."""

    info: str
    text: str
    line: int


def read(page: str | Path) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[Block]:
    for match in _FENCE.finditer(text):
        yield Block(match[1].strip(), match[2], text.count("\n", 0, match.start()) + 2)


def prose(text: str) -> str:
    """Return the text without its fenced blocks."""
    return _FENCE.sub("", text)


def headings(text: str) -> list[str]:
    return _HEADING.findall(prose(text))


def anchor(heading: str) -> str:
    """Return the fragment of a heading's link, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def links(text: str) -> list[str]:
    """Return the links to other pages and to headings, not those to other sites."""
    return [link for link in _LINK.findall(prose(text)) if "://" not in link and not link.startswith("mailto:")]


def first_cells(text: str) -> list[str]:
    """Return the names in the first column of the text's tables, where they are code."""
    return _FIRST_CELL.findall(prose(text))


def section(text: str, heading: str) -> str:
    """Return what stands under a second-level heading."""
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
