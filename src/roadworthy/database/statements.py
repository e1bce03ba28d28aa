"""Where one SQL statement ends and the next begins, by the rules of PostgreSQL's own lexer and of psql."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*)
  | (?P<block>/\*)
  | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*')
  | (?P<quoted>(?:[uU]&)?'(?:[^']|'')*'|(?:[uU]&)?"(?:[^"]|"")*")
  | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
  | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
  | (?P<number>[0-9][A-Za-z0-9_$.]*|\$[0-9]+)
  | (?P<space>\s+)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_ROUTINES = frozenset({"FUNCTION", "PROCEDURE"})


@dataclass(slots=True)
class _Reading:
    words: list[str]
    parentheses: int = 0
    bodies: int = 0

    def word(self, word: str) -> None:
        # The body of a routine in standard SQL, BEGIN ATOMIC ... END, holds whole statements; CASE has an END too.
        routine = self.words[:1] == ["CREATE"] and not _ROUTINES.isdisjoint(self.words[:4])
        if routine and (word == "BEGIN" or (word == "CASE" and self.bodies)):
            self.bodies += 1
        elif self.bodies and word == "END":
            self.bodies -= 1
        self.words.append(word)

    def mark(self, mark: str) -> bool:
        if mark == "(":
            self.parentheses += 1
        elif mark == ")":
            self.parentheses = max(self.parentheses - 1, 0)
        return mark == ";" and not self.parentheses and not self.bodies


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement without its semicolon, and its unquoted words in capitals."""

    sql: str
    words: tuple[str, ...]


def split(sql: str) -> Iterator[Statement]:
    """Yield the statements of `sql`; stretches of nothing but comments and white space are none."""
    reading, start, empty = _Reading([]), 0, True
    for kind, begin, end in _tokens(sql):
        if kind == "word":
            reading.word(sql[begin:end].upper())
        if kind == "mark" and reading.mark(sql[begin]):
            if not empty:
                yield Statement(sql[start:begin].strip(), tuple(reading.words))
            reading, start, empty = _Reading([]), end, True
        elif kind not in ("space", "comment", "block"):
            empty = False
    if not empty:
        yield Statement(sql[start:].strip(), tuple(reading.words))


def _tokens(sql: str) -> Iterator[tuple[str, int, int]]:
    position = 0
    while found := _TOKEN.match(sql, position):
        kind, end = str(found.lastgroup), found.end()
        if kind == "dollar":
            close = sql.find(found[0], end)
            end = len(sql) if close < 0 else close + len(found[0])
        elif kind == "block":
            end = _after_block(sql, end)
        yield kind, position, end
        position = end


def _after_block(sql: str, position: int) -> int:
    depth = 1
    while depth and (edge := _BLOCK_EDGE.search(sql, position)):
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return len(sql) if depth else position
