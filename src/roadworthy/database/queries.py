"""Named SQL: a `.sql` file of statements, each under a line `-- name: claim_jobs`.

Comment lines directly below the name say what the statement does; they are sent along, where a DBA finds them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from types import MappingProxyType

from roadworthy.errors import DeclarationError

_NAME_LINE = re.compile(r"^--\s*name:\s*(.*?)\s*$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Queries(Mapping[str, str]):
    """The statements of one file by name. Immutable."""

    __slots__ = ("_statements", "source")

    def __init__(self, source: str, statements: Mapping[str, str]) -> None:
        """`source` names the file in errors."""
        self.source = source
        self._statements = MappingProxyType(dict(statements))

    def __getitem__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            known = ", ".join(sorted(self._statements)) or "none"
            raise DeclarationError(f"{self.source} has no statement {name!r}; it has: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)

    def __contains__(self, name: object) -> bool:
        return name in self._statements


@functools.cache
def load_queries(package: str, file: str = "queries.sql") -> Queries:
    """Return the statements of `file` inside `package`, as in `load_queries("roadworthy.jobs")`.

    Raises DeclarationError for a file that is missing, holds SQL before its first name, or names a statement badly,
    twice or without SQL.
    """
    source = f"{package.replace('.', '/')}/{file}"
    try:
        text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    except (FileNotFoundError, ModuleNotFoundError) as error:
        raise DeclarationError(f"{source} does not exist; create it, or load the file that does") from error
    return parse(text, source)


def parse(text: str, source: str) -> Queries:
    """Return the statements of `text`; `source` names it in errors. Raises DeclarationError as `load_queries` does."""
    preamble, *parts = _NAME_LINE.split(text)
    if _without_comments(preamble):
        raise DeclarationError(f"{source} has SQL before its first name; put a line `-- name: what_it_does` above it")
    statements: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if not _NAME.fullmatch(name):
            raise DeclarationError(f"{source} names a statement {name!r}, which must match [a-z][a-z0-9_]*; rename it")
        if name in statements:
            raise DeclarationError(f"{source} names two statements {name!r}; rename one")
        if not _without_comments(body):
            raise DeclarationError(f"{source} has no SQL under the name {name!r}; write it, or remove the name")
        statements[name] = body.strip()
    return Queries(source, statements)


def _without_comments(sql: str) -> str:
    return "".join(line for line in sql.splitlines() if not line.lstrip().startswith("--")).strip()
