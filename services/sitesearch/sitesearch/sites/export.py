"""A site's index, or what a search found, as JSON, CSV or Markdown, written page by page in bounded memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

from roadworthy import Database
from sitesearch.search.find import Result
from sitesearch.sites.sites import QUERIES

Format = Literal["json", "csv", "md"]
MEDIA_TYPES: Mapping[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
}

_BATCH = 50
_COLUMNS = ("url", "title", "date", "language", "description", "text")
_SPREADSHEET_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_MARKDOWN_SPECIAL = str.maketrans({char: f"\\{char}" for char in r"\`*_{}[]<>()#+!|~"})

Row = Mapping[str, str]


async def index_rows(database: Database, site: int) -> AsyncIterator[Row]:
    """Yield every page of a site, 50 at a time from the database."""
    last = 0
    while rows := await database.fetch(QUERIES["export_pages"], site, last, _BATCH):
        for row in rows:
            yield _row(
                row["url"], row["title"], row["dated_at"].isoformat(), row["language"], row["description"], row["text"]
            )
        last = rows[-1]["id"]


async def result_rows(results: Sequence[Result]) -> AsyncIterator[Row]:
    """Yield what a search found."""
    for result in results:
        yield _row(result.url, result.plain_title, result.date.isoformat(), "", "", result.excerpt.striptags())


def _row(*values: str) -> Row:
    return dict(zip(_COLUMNS, values, strict=True))


async def write(rows: AsyncIterator[Row], form: Format) -> AsyncIterator[str]:
    """Yield the text of an export."""
    writer = {"json": _json, "csv": _csv, "md": _markdown}[form]
    async for part in writer(rows):
        yield part


async def _json(rows: AsyncIterator[Row]) -> AsyncIterator[str]:
    separator = "["
    async for row in rows:
        yield f"{separator}\n{json.dumps(row, ensure_ascii=False)}"
        separator = ","
    yield "[]\n" if separator == "[" else "\n]\n"


async def _csv(rows: AsyncIterator[Row]) -> AsyncIterator[str]:
    yield _csv_line(_COLUMNS)
    async for row in rows:
        yield _csv_line([inert(value) for value in row.values()])


def _csv_line(values: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()


def inert(value: str) -> str:
    """Return a cell's text such that no spreadsheet runs it as a formula (OWASP, CSV injection)."""
    return f"'{value}" if value.lstrip(" ").startswith(_SPREADSHEET_FORMULA) else value


async def _markdown(rows: AsyncIterator[Row]) -> AsyncIterator[str]:
    async for row in rows:
        title = " ".join((row["title"] or row["url"]).split()).translate(_MARKDOWN_SPECIAL)
        url = row["url"].replace("<", "%3C").replace(">", "%3E")
        text = "\n".join(line.strip().translate(_MARKDOWN_SPECIAL) for line in row["text"].splitlines())
        yield f"## [{title}](<{url}>)\n\n*{row['date'][:10]}*\n\n{text}\n\n"
