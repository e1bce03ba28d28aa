"""What a person typed, as terms, and those terms as a PostgreSQL tsquery.

The grammar is the one that people know: words that must all be there, "a phrase", -without. An identifier such as
`asyncio.gather` or `zip_longest` is one term, found whole or as its parts side by side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LONGEST_QUERY = 200
MOST_TERMS = 12

_TERM = re.compile(r'(?P<minus>(?<!\S)-)?(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')
_WORD = re.compile(r"[^\W_]+")
_IDENTIFIER = re.compile(r"[^\W\d]\w*(?:\.\w+)+|\w*[^\W\d_]\w*_\w+")

Lexemes = Mapping[str, Sequence[str]]
"""For each word the lexemes to look for, any of which will do; none for a stop word."""


@dataclass(frozen=True, slots=True)
class Term:
    """Words that stand side by side. `identifier` is the whole of which they are the parts, where it is one."""

    words: tuple[str, ...]
    identifier: str | None = None
    excluded: bool = False
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query. `open_ended` says that the last term may be the beginning of a word."""

    text: str
    terms: tuple[Term, ...]
    open_ended: bool

    @property
    def words(self) -> tuple[str, ...]:
        """Each word once, in order."""
        return tuple(dict.fromkeys(word for term in self.terms for word in term.words))

    @property
    def wanted(self) -> tuple[str, ...]:
        """The words of the terms that pages must have, each once."""
        return tuple(dict.fromkeys(word for term in self.terms if not term.excluded for word in term.words))

    @property
    def last_word(self) -> str | None:
        """The word still being typed, if any."""
        return self.terms[-1].words[-1] if self.open_ended and self.terms else None


def squeezed(text: str) -> str:
    """Return the shortest text that `parse` takes for the same query, so that one answer serves all its spellings.

    A space at the end stays: it says that the last word is whole.
    """
    text = text[:LONGEST_QUERY].replace("\x00", " ")
    words = " ".join(text.split())
    return f"{words} " if words and text[-1].isspace() else words


def parse(text: str) -> Query:
    """Return the terms of `text`, of which at most LONGEST_QUERY characters and MOST_TERMS terms count."""
    text = squeezed(text)
    last = text[-1:]
    text = text.rstrip(" ")
    terms: list[Term] = []
    quoted = False
    for match in _TERM.finditer(text):
        source = match["phrase"] if match["phrase"] is not None else match["word"]
        quoted = match["phrase"] is not None
        words = tuple(word.lower() for word in _WORD.findall(source))
        if not words or len(terms) == MOST_TERMS:
            continue
        whole = None if quoted else _IDENTIFIER.search(source)
        terms.append(Term(words, whole and whole[0].lower(), match["minus"] is not None, quoted))
    open_ended = bool(terms) and not quoted and not terms[-1].excluded and bool(_WORD.search(last))
    return Query(text, tuple(terms), open_ended)


def replace_words(query: Query, corrections: Mapping[str, str]) -> str:
    """Return the query's text with each word that has a correction replaced by it."""

    def corrected(match: re.Match[str]) -> str:
        return corrections.get(match[0].lower(), match[0])

    return _WORD.sub(corrected, query.text)


def compile_query(query: Query, lexemes: Lexemes, *, prefix: bool = False, any_term: bool = False) -> str:
    """Return the query as tsquery text, '' where nothing is left to look for.

    `prefix` takes the last word for the beginning of one. `any_term` is content with any of the terms.
    """
    wanted: list[str] = []
    excluded: list[str] = []
    for position, term in enumerate(query.terms):
        is_open = prefix and query.open_ended and position == len(query.terms) - 1
        compiled = _compile_term(term, lexemes, is_open)
        if compiled:
            (excluded if term.excluded else wanted).append(compiled)
    if not wanted:
        return ""
    joined = (" | " if any_term else " & ").join(wanted)
    return " & ".join([f"({joined})", *(f"!({term})" for term in excluded)])


def _compile_term(term: Term, lexemes: Lexemes, is_open: bool) -> str:
    parts: list[str] = []
    gap = 1
    for position, word in enumerate(term.words):
        found = lexemes.get(word, ())
        alternatives = [_quote(lexeme) for lexeme in found]
        if is_open and position == len(term.words) - 1 and len(found) == 1:
            alternatives.append(f"{_quote(word)}:*")
        if not alternatives:
            gap += 1
            continue
        if parts:
            parts.append(f"<{gap}>")
        parts.append(alternatives[0] if len(alternatives) == 1 else f"({' | '.join(alternatives)})")
        gap = 1
    compiled = " ".join(parts)
    if term.identifier is None:
        return f"({compiled})" if len(parts) > 1 else compiled
    whole = _quote(term.identifier) + (":*" if is_open else "")
    return f"({whole} | ({compiled}))" if compiled else whole


def _quote(lexeme: str) -> str:
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
