"""The project's documentation as a site to index, so that a first look needs no network."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

VARIABLE = "SITESEARCH_DOCUMENTATION"
"""Names a directory of Markdown files to serve instead of the checkout's docs/."""

_PACKAGED = Path(__file__).parent.parent / "documentation"
_CHECKOUT = Path(__file__).parents[4] / "docs"
_LINK = re.compile(r"(?P<path>[^?#]*?)(?:(?P<index>^|(?<=/))(?:index|README))?\.md(?P<fragment>#.*)?")


@dataclass(frozen=True, slots=True)
class Document:
    """A document: its path below /documentation/ without ending, its title and its HTML."""

    path: str
    title: str
    html: Markup


def directories(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Return where the documents are: the packaged guide, and the named directory or else the checkout's docs/."""
    named = (os.environ if environ is None else environ).get(VARIABLE)
    return [directory for directory in (_PACKAGED, Path(named) if named else _CHECKOUT) if directory.is_dir()]


@cache
def documents() -> Mapping[str, Document]:
    """Return every document by its path."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    found: dict[str, Document] = {}
    for directory in directories():
        for file in sorted(directory.rglob("*.md")):
            path = file.relative_to(directory).with_suffix("").as_posix()
            path = re.sub(r"(^|/)(index|README)$", r"\1", path)
            text = file.read_text(encoding="utf-8")
            found[path] = Document(path, _title(text, file.stem), Markup(_render(markdown, text)))  # noqa: S704 (HTML in the Markdown is escaped)  # nosec B704
    return found


def _title(text: str, fallback: str) -> str:
    heading = re.search(r"^#\s+(.+?)\s*#*$", text, re.MULTILINE)
    return re.sub(r"[`*]", "", heading[1]) if heading else fallback.replace("-", " ").capitalize()


def _render(markdown: MarkdownIt, text: str) -> str:
    tokens = markdown.parse(text)
    for token in tokens:
        if token.type == "table_open":
            token.attrSet("tabindex", "0")
        for child in token.children or ():
            href = child.attrs.get("href")
            if isinstance(href, str) and "://" not in href and (match := _LINK.fullmatch(href)):
                child.attrs["href"] = (match["path"] or "./") + (match["fragment"] or "")
    html: str = markdown.renderer.render(tokens, markdown.options, {})
    # What scrolls sideways must be within reach of the keyboard.
    return html.replace("<pre>", '<pre tabindex="0">')
