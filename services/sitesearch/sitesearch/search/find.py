"""One search from text to results: resolve the words, ask the index, correct the query where it found too little."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from markupsafe import Markup

from roadworthy import Database, load_queries
from sitesearch.search import spelling
from sitesearch.search.highlight import Form, excerpt, mark
from sitesearch.search.query import Query, compile_query, parse, replace_words

QUERIES = load_queries("sitesearch.search", "search.sql")
PAGE_SIZE = 10
MOST_PAGES = 20
MOST_MATCHES = 2000
"""What is counted exactly; past it there are "more than" so many."""
TIMEOUT = timedelta(seconds=5)

Since = Literal["day", "week", "month", "year"]
SINCE: Mapping[Since, timedelta] = {
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
}

_ENOUGH = 3
"""With fewer pages found than this, a likelier spelling is looked for."""
_OVERWHELMING = 10
"""A corrected query replaces one that found something only where it finds this many times as much."""


@dataclass(frozen=True, slots=True)
class Site:
    """The site searched."""

    id: int
    slug: str
    name: str
    start_url: str
    title_suffix: str


@dataclass(frozen=True, slots=True)
class Result:
    """A page found. `title_html` and `excerpt_html` are safe HTML with the found words in `<mark>`."""

    url: str
    plain_title: str
    title_html: str
    excerpt_html: str
    date: datetime
    has_own_date: bool
    score: float

    @property
    def title(self) -> Markup:
        """The title, to be put into a page as it is."""
        return Markup(self.title_html)  # noqa: S704 (made by `mark`, which escapes)  # nosec B704

    @property
    def excerpt(self) -> Markup:
        """The excerpt, to be put into a page as it is."""
        return Markup(self.excerpt_html)  # noqa: S704 (made by `excerpt`, which escapes)  # nosec B704


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    `counts` holds the pages by age, `anytime` all. `corrected` is the query searched instead of the one given,
    `suggestion` one to offer. `partial` says that no page has all words. `more` says that `total` is a lower bound.
    """

    site: Site
    query: Query
    results: Sequence[Result] = ()
    total: int = 0
    more: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    page: int = 1
    pages: int = 0
    since: Since | None = None
    corrected: str | None = None
    suggestion: str | None = None
    partial: bool = False
    only_stop_words: bool = False
    took: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Words:
    """What a site knows of the words of a query: by configuration their lexemes, by word the pages it is on."""

    lexemes: Mapping[str, Mapping[str, tuple[str, ...]]]
    pages: Mapping[str, int]
    completions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def looked_for(self, word: str) -> bool:
        """Whether the word is no stop word in at least one of the site's languages."""
        return word in self.completions or any(word in stems for stems in self.lexemes.values())

    def may_begin(self, word: str | None) -> bool:
        """Whether to take the word for the beginning of another: it is too rare to be meant, or not counted yet."""
        return word is not None and (word in self.completions or not (self.pages.get(word) or len(word) < 2))


async def find_site(database: Database, slug: str) -> Site | None:
    """Return the site of that slug, or None."""
    row = await database.fetchrow(QUERIES["find_site"], slug)
    return None if row is None else Site(**dict(row))


async def search(
    database: Database,
    site: Site,
    text: str,
    *,
    page: int = 1,
    since: Since | None = None,
    exact: bool = False,
    now: datetime,
) -> Found:
    """Search a site. `exact` keeps the query as it was typed. Raises TimeoutError after 5 seconds."""
    started = time.perf_counter()
    async with asyncio.timeout(TIMEOUT.total_seconds()):
        found = await _search(database, site, parse(text), min(max(page, 1), MOST_PAGES), since, exact, now)
    return replace(found, took=timedelta(seconds=time.perf_counter() - started))


async def _search(
    database: Database, site: Site, query: Query, page: int, since: Since | None, exact: bool, now: datetime
) -> Found:
    if not query.terms:
        return Found(site, query, since=since)
    moment = now - SINCE[since] if since else None
    words = await resolve(database, site.id, query)
    found = await _ask(database, site, query, words, page, moment)
    if found.only_stop_words:
        return replace(found, since=since)
    enough = found.counts.get("anytime", 0) >= _ENOUGH * (_OVERWHELMING if _doubtful(query, words) else 1)
    if not exact and not enough:
        found = await _correct(database, found, words, page, moment)
    if not found.counts.get("anytime") and len(query.terms) > 1 and not exact:
        found = replace(
            await _ask(database, site, query, words, page, moment, any_term=True),
            partial=True,
            suggestion=found.suggestion,
        )
    return replace(found, since=since)


def _doubtful(query: Query, words: Words) -> bool:
    return any(0 < words.pages.get(word, 0) <= _ENOUGH for word in query.wanted)


async def _correct(database: Database, found: Found, words: Words, page: int, moment: datetime | None) -> Found:
    """Return what a likelier spelling finds, if it is overwhelmingly likelier; else `found` with a suggestion."""
    query = found.query
    corrections = await corrections_for(database, found.site.id, query, words)
    if not corrections:
        return found
    text = replace_words(query, corrections)
    likelier = replace(parse(text), open_ended=False)
    better = await _ask(database, found.site, likelier, await resolve(database, found.site.id, likelier), page, moment)
    found_now, found_then = found.counts.get("anytime", 0), better.counts.get("anytime", 0)
    if found_then and found_then >= _OVERWHELMING * found_now:
        return replace(better, query=query, corrected=text)
    return replace(found, suggestion=text) if found_then > found_now else found


async def resolve(database: Database, site: int, query: Query) -> Words:
    """Return what the site knows of the query's words, with the completions of one still being typed."""
    lexemes: dict[str, dict[str, tuple[str, ...]]] = {}
    pages: dict[str, int] = dict.fromkeys(query.words, 0)
    for row in await database.fetch(QUERIES["resolve_words"], site, list(query.words)):
        stems = lexemes.setdefault(row["configuration"], {})
        if row["lexeme"] is not None:
            stems[row["word"]] = (row["lexeme"],)
            pages[row["word"]] = max(pages[row["word"]], row["pages"])
    last = query.last_word
    if last is None or len(last) < 2 or not any(last in stems for stems in lexemes.values()):
        return Words(lexemes, pages)
    completions = await complete(database, site, last, 40)
    if not completions or completions[0][2] < spelling.RARE * pages[last]:
        return Words(lexemes, pages)
    alternatives = [stem for known in lexemes.values() for stem in known.get(last, ())]
    alternatives += [lexeme for _, lexeme, _ in completions]
    return Words(lexemes, pages, {last: tuple(dict.fromkeys(alternatives))})


async def complete(database: Database, site: int, beginning: str, limit: int) -> list[tuple[str, str, int]]:
    """Return (word, lexeme, pages) for the most widespread words that begin so."""
    after = beginning[:-1] + chr(min(ord(beginning[-1]) + 1, 0x10FFFF))
    rows = await database.fetch(QUERIES["complete_word"], site, beginning, after, limit)
    return [(row["word"], row["lexeme"], row["pages"]) for row in rows]


async def corrections_for(database: Database, site: int, query: Query, words: Words) -> dict[str, str]:
    """Return the likelier spelling of each word that has one, unknown words first."""
    doubted = [word for word in query.wanted if spelling.tolerance(word)]
    unknown = [word for word in doubted if not words.pages.get(word)]
    corrections: dict[str, str] = {}
    for word in unknown or doubted:
        edits = spelling.edits(word) if len(word) <= spelling.SHORT else []
        # Where one mistake is all that is borne, the listed words are all there are; in other scripts they are not.
        more = not (edits and spelling.tolerance(word) == 1 and word.isascii())
        rows = await database.fetch(QUERIES["similar_words"], site, word, edits, more)
        likelier = spelling.correct(word, words.pages.get(word, 0), [(row["word"], row["pages"]) for row in rows])
        if likelier:
            corrections[word] = likelier
    return corrections


def compile_for_site(query: Query, words: Words, *, any_term: bool = False) -> str:
    """Return the query as tsquery text for every language of the site, '' where nothing is left to look for."""
    compiled: list[str] = []
    for stems in words.lexemes.values():
        known = {**stems, **words.completions}
        compiled.append(compile_query(query, known, prefix=words.may_begin(query.last_word), any_term=any_term))
    return " | ".join(f"({text})" for text in dict.fromkeys(compiled) if text)


async def _ask(
    database: Database,
    site: Site,
    query: Query,
    words: Words,
    page: int,
    moment: datetime | None,
    *,
    any_term: bool = False,
) -> Found:
    tsquery = compile_for_site(query, words, any_term=any_term)
    if not tsquery:
        return Found(site, query, only_stop_words=bool(words.lexemes))
    excludes = any(term.excluded for term in query.terms)
    offset = (page - 1) * PAGE_SIZE
    suffix = len(site.title_suffix)
    rows = await database.fetch(
        QUERIES["search_documents"],
        site.id, tsquery, moment, query.text.lower(), suffix, offset, not excludes, PAGE_SIZE,
        compile_for_site(query, words, any_term=True),
    )  # fmt: skip
    counts = {name: rows[0][name] for name in ("anytime", "day", "week", "month", "year")}
    total = rows[0]["matching"]
    forms = await _forms(database, site.id, query, words)
    return Found(
        site,
        query,
        results=[_result(row, site, forms) for row in rows if row["page_id"] is not None],
        total=total,
        more=total >= MOST_MATCHES,
        counts=counts,
        page=page,
        pages=min(MOST_PAGES, -(-total // PAGE_SIZE)),
    )


async def _forms(database: Database, site: int, query: Query, words: Words) -> list[Form]:
    """Return every way in which the query's words are written on the site."""
    terms: dict[str, int] = {}
    forms: dict[str, Form] = {}
    for position, term in enumerate(query.terms):
        if term.excluded:
            continue
        if term.identifier is not None:
            # Counted as a term of its own, so that an excerpt prefers the whole to its parts.
            forms[term.identifier] = Form(term.identifier, -1 - position)
        for word in term.words:
            for stems in words.lexemes.values():
                terms.update(dict.fromkeys(stems.get(word, ()), position))
            terms.update(dict.fromkeys(words.completions.get(word, ()), position))
            if words.looked_for(word):
                forms[word] = Form(word, position, prefix=word == query.last_word and words.may_begin(word))
    for row in await database.fetch(QUERIES["word_forms"], site, list(terms)):
        forms.setdefault(row["word"], Form(row["word"], terms[row["lexeme"]]))
    return list(forms.values())


def _result(row: Any, site: Site, forms: Sequence[Form]) -> Result:
    title = row["title"]
    if site.title_suffix and title.endswith(site.title_suffix) and len(title) > len(site.title_suffix):
        title = title[: -len(site.title_suffix)]
    title = title or row["url"]
    return Result(
        url=row["url"],
        plain_title=title,
        title_html=str(mark(title, forms)),
        excerpt_html=str(excerpt(row["text"] or row["description"], forms)),
        date=row["dated_at"],
        has_own_date=row["has_own_date"],
        score=row["score"],
    )


async def every_result(
    database: Database, site: Site, text: str, *, since: Since | None = None, exact: bool = False, now: datetime
) -> list[Result]:
    """Return all results that a search shows on its pages together, at most 200. Raises TimeoutError as it does."""
    results: list[Result] = []
    for page in range(1, MOST_PAGES + 1):
        found = await search(database, site, text, page=page, since=since, exact=exact, now=now)
        results += found.results
        if page >= found.pages:
            break
    return results


async def suggest(database: Database, site: Site, text: str, *, limit: int = 8) -> list[str]:
    """Return whole queries that `text` may be the beginning of, the likeliest first."""
    query = parse(text)
    if query.last_word is None:
        return []
    stem = query.text[: -len(query.last_word)]
    found = await complete(database, site.id, query.last_word, limit)
    return [stem + word for word, _, _ in itertools.islice(found, limit)]
