"""From HTML to what is searched: title, headings, main text, dates, language and links. Broken HTML never raises."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from sitesearch.crawl import addresses

LONGEST_TEXT = 500_000
LONGEST_TITLE = 300
LONGEST_DESCRIPTION = 1_000
MOST_HEADINGS = 300
MOST_LINKS = 5_000
# A parsed tag is half a kilobyte, and the parser compares each of a tag's attributes with all before it.
MOST_TAGS = 150_000
MOST_ATTRIBUTES = 256
# Bump when the same settings would extract something else than before.
VERSION = 2

_DROPPED = [
    "script",
    "style",
    "nav",
    "aside",
    "footer",
    "noscript",
    "template",
    "svg",
    "iframe",
    "object",
    "select",
    "button",
]
_DROPPED_CSS = '[role="navigation"], [role="search"], [role="banner"], [role="contentinfo"], [hidden], a.headerlink'
_CONTENT = ("main", '[role="main"]', "article", "#content")
_BLOCKS = (
    "p,div,li,dt,dd,tr,td,th,h1,h2,h3,h4,h5,h6,pre,blockquote,section,article,br,table,ul,ol,dl,figcaption,caption,"
    "summary,details,address,hr,header,form,fieldset,legend,option"
)
_SPACE = re.compile(r"[^\S\n]+")
# By the grammar of the WHATWG tokenizer; possessive, so that no text is read twice.
_ATTRIBUTE = r"""[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?+)?+"""
_CROWDED_TAG = re.compile(rf"<[A-Za-z][^\s/>]*+(?:{_ATTRIBUTE}){{{MOST_ATTRIBUTES}}}")
# Below this many characters, crowded tags and many tags cost little.
_HARMLESS = 32_768
# Put around blocks, since a line break in the source is a space.
_BREAK = "\x1e"
_BLANK_LINES = re.compile(r" ?\n[ \n]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?=$|[-_])")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
_PERMALINK_SIGNS = " \u00b6#\u2693\n"
_PUBLISHED = (
    "article:published_time",
    "datepublished",
    "date",
    "dc.date",
    "dcterms.created",
    "pubdate",
    "og:published_time",
)
_FRAMES = "frame[src], iframe[src]"
_REFRESH = re.compile(
    r"\s*(?P<seconds>\d{1,4})(?:\.\d*)?\s*[;,]\s*(?:url\s*=\s*)?[\"']?(?P<url>[^\"']+)", re.IGNORECASE
)
# A page that goes on to another one within so many seconds is not there to be read.
_PASSING = 5
_MODIFIED = ("article:modified_time", "datemodified", "last-modified", "dcterms.modified", "og:updated_time", "revised")
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Selectors:
    """CSS selectors that a site's owner sets: of the main content, of the title, and of what to leave out.

    Raises:
        ValueError: one that is no CSS selector.
    """

    content: str | None = None
    title: str | None = None
    drop: str | None = None

    def __post_init__(self) -> None:
        empty = LexborHTMLParser("<p>")
        for name, selector in (("content", self.content), ("title", self.title), ("drop", self.drop)):
            if selector is None:
                continue
            try:
                empty.css(selector)
            except (SelectolaxError, ValueError) as error:
                raise ValueError(f"the {name} selector {selector[:100]!r} is no CSS selector") from error

    @property
    def fingerprint(self) -> bytes:
        """What two settings share exactly if they extract the same."""
        return hashlib.sha256(repr((VERSION, self.content, self.title, self.drop)).encode()).digest()


@dataclass(frozen=True, slots=True)
class Extracted:
    """A page as extracted.

    `links` are normalised, sorted and at most 5,000; `links_cut` is how many more there were. `noindex` and `nofollow`
    are what its robots meta elements ask; links marked nofollow are not among `links`.
    """

    title: str = ""
    headings: str = ""
    description: str = ""
    text: str = ""
    language: str = ""
    canonical: str | None = None
    links: list[str] = field(default_factory=list)
    links_cut: int = 0
    noindex: bool = False
    nofollow: bool = False
    published_at: datetime | None = None
    modified_at: datetime | None = None

    @property
    def content_hash(self) -> bytes:
        """What two pages share exactly if they would be found alike."""
        return hashlib.sha256("\0".join((self.title, self.headings, self.description, self.text)).encode()).digest()


@dataclass(frozen=True, slots=True)
class _Refresh:
    """After how many seconds a page goes on to which address by itself."""

    seconds: int
    target: str


def html(document: str, url: str, selectors: Selectors) -> Extracted:
    """Extract the HTML page fetched from `url`, a normalised address."""
    tree = LexborHTMLParser(_bounded(document))
    body = tree.body
    if body is None:
        # A frameset has no body, and nothing but its frames and its title to go by.
        body = tree.root
        if body is None:
            return Extracted()
    meta = _meta(tree)
    robots = {word.strip() for key in ("robots", "sitesearch") for word in meta.get(key, "").lower().split(",")}
    nofollow = not robots.isdisjoint({"nofollow", "none"})
    base = _base(tree, url)
    refresh = _refresh(tree)
    # Links and dates are read before anything is dropped: navigation leads on, though it is not searched.
    links, links_cut = ([], 0) if nofollow else _links(tree, base, refresh)
    published, modified = _dates(tree, meta)
    language = _language(tree)
    canonical = _canonical(tree, base, refresh)
    _drop(tree, selectors)
    content = _content(tree, body, selectors)
    headings = _headings(content)
    title = _title(tree, meta, selectors)
    for block in content.css(_BLOCKS):
        block.insert_before(_BREAK)
        block.insert_after(_BREAK)
    return Extracted(
        title=title,
        headings=headings,
        description=_clean(meta.get("description") or meta.get("og:description") or "")[:LONGEST_DESCRIPTION],
        text=_blocks(content.text())[:LONGEST_TEXT],
        language=language,
        canonical=canonical,
        links=links,
        links_cut=links_cut,
        noindex=not robots.isdisjoint({"noindex", "none"}),
        nofollow=nofollow,
        published_at=published,
        modified_at=modified,
    )


def _bounded(document: str) -> str:
    """The document as far as parsing it is bounded in time and memory."""
    if len(document) <= _HARMLESS:
        return document
    # What is left of a crowded tag is text without meaning.
    document = _CROWDED_TAG.sub("", document)
    if document.count("<") <= MOST_TAGS:
        return document
    return document[: len(document) - len(document.split("<", MOST_TAGS)[-1]) - 1]


def plain(document: str, url: str) -> Extracted:
    """Extract a plain text: its first line is the title, or else its file's name."""
    text = _lines(document)[:LONGEST_TEXT]
    title = text.partition("\n")[0][:LONGEST_TITLE] or url.rpartition("/")[2]
    return Extracted(title=title, text=text)


def http_date(value: str | None) -> datetime | None:
    """An HTTP date, as of a Last-Modified header, or None where it is none or absurd."""
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return _plausible(moment)


def _meta(tree: LexborHTMLParser) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.css("meta[content]")[:200]:
        attributes = node.attributes
        name = attributes.get("name") or attributes.get("property") or attributes.get("itemprop") or ""
        content = attributes.get("content")
        if name and content:
            found.setdefault(name.strip().lower(), content[:5000])
    return found


def _base(tree: LexborHTMLParser, url: str) -> str:
    node = tree.css_first("base[href]")
    try:
        return url if node is None else addresses.normalise(node.attributes.get("href") or "", url)
    except addresses.BadAddress:
        return url


def _links(tree: LexborHTMLParser, base: str, refresh: _Refresh | None) -> tuple[list[str], int]:
    raw: set[str] = set()
    for node in tree.css("a[href], area[href]"):
        attributes = node.attributes
        reference = (attributes.get("href") or "").partition("#")[0]
        if reference and "nofollow" not in (attributes.get("rel") or "").lower():
            raw.add(reference)
    raw.update((node.attributes.get("src") or "").partition("#")[0] for node in tree.css(_FRAMES))
    if refresh is not None:
        raw.add(refresh.target)
    raw.discard("")
    found = addresses.links(raw, base)
    return found[:MOST_LINKS], max(0, len(found) - MOST_LINKS)


def _canonical(tree: LexborHTMLParser, base: str, refresh: _Refresh | None) -> str | None:
    node = tree.css_first('link[rel~="canonical"][href]')
    reference = None if node is None else node.attributes.get("href")
    if refresh is not None and refresh.seconds <= _PASSING:
        reference = refresh.target
    try:
        return None if not reference else addresses.normalise(reference, base)
    except addresses.BadAddress:
        return None


def _refresh(tree: LexborHTMLParser) -> _Refresh | None:
    node = tree.css_first(':not(noscript) > meta[http-equiv="refresh" i][content]')
    match = None if node is None else _REFRESH.match((node.attributes.get("content") or "")[:5000])
    return None if match is None else _Refresh(int(match["seconds"]), match["url"].strip().partition("#")[0])


def _language(tree: LexborHTMLParser) -> str:
    root = tree.root
    declared = (root.attributes.get("lang") or root.attributes.get("xml:lang") or "") if root is not None else ""
    match = _LANGUAGE.match(declared.strip().lower())
    return match[0] if match else ""


def _drop(tree: LexborHTMLParser, selectors: Selectors) -> None:
    tree.strip_tags(_DROPPED)
    dropped = _DROPPED_CSS if selectors.drop is None else f"{_DROPPED_CSS}, {selectors.drop}"
    for node in tree.css(dropped):
        if node.tag not in ("html", "body"):
            node.decompose()


def _content(tree: LexborHTMLParser, body: LexborNode, selectors: Selectors) -> LexborNode:
    if selectors.content is not None and (chosen := tree.css_first(selectors.content)) is not None:
        return chosen
    for selector in _CONTENT:
        nodes = tree.css(selector)
        # Several articles are a list of them; the page is what is around.
        if len(nodes) == 1 and nodes[0].text(strip=True):
            return nodes[0]
    return body


def _headings(content: LexborNode) -> str:
    texts = (_clean(node.text()).strip(_PERMALINK_SIGNS) for node in content.css("h1,h2,h3,h4,h5,h6")[:MOST_HEADINGS])
    return "\n".join(text[:LONGEST_TITLE] for text in texts if text)


def _title(tree: LexborHTMLParser, meta: dict[str, str], selectors: Selectors) -> str:
    if selectors.title is not None and (node := tree.css_first(selectors.title)) is not None:
        chosen = _clean(node.text()).strip(_PERMALINK_SIGNS)
        if chosen:
            return chosen[:LONGEST_TITLE]
    node = tree.css_first("head title") or tree.css_first("title")
    title = _clean(node.text()) if node is not None else ""
    title = title or _clean(meta.get("og:title", ""))
    first = tree.css_first("h1")
    heading = _clean(first.text()).strip(_PERMALINK_SIGNS) if first is not None else ""
    # "Heading - Name of the site" on every page: the heading alone tells pages apart.
    if heading and (not title or title.startswith(heading)):
        title = heading
    return title[:LONGEST_TITLE]


def _dates(tree: LexborHTMLParser, meta: dict[str, str]) -> tuple[datetime | None, datetime | None]:
    published = _first_date(meta.get(name) for name in _PUBLISHED)
    modified = _first_date(meta.get(name) for name in _MODIFIED)
    if published is None or modified is None:
        for item in _linked_data(tree):
            published = published or _date(item.get("datePublished"))
            modified = modified or _date(item.get("dateModified"))
    if (
        published is None
        and (node := tree.css_first("time[pubdate], article time[datetime], time[datetime]")) is not None
    ):
        published = _date(node.attributes.get("datetime"))
    return published, modified


def _linked_data(tree: LexborHTMLParser) -> Iterator[dict[str, Any]]:
    for node in tree.css('script[type="application/ld+json"]')[:5]:
        source = node.text()
        if len(source) > 200_000:
            continue
        try:
            data = json.loads(source)
        except (ValueError, RecursionError):
            continue
        for item in data if isinstance(data, list) else [data]:
            if isinstance(item, dict):
                yield item
                graph = item.get("@graph")
                yield from (inner for inner in graph if isinstance(inner, dict)) if isinstance(graph, list) else ()


def _first_date(values: Iterator[str | None]) -> datetime | None:
    return next((moment for value in values if (moment := _date(value)) is not None), None)


def _date(value: object) -> datetime | None:
    match = _ISO_DATE.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        return http_date(value) if isinstance(value, str) else None
    try:
        return _plausible(datetime.fromisoformat(match[0]))
    except ValueError:
        return None


def _plausible(moment: datetime) -> datetime | None:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    try:
        return aware.astimezone(UTC) if aware >= _EARLIEST else None
    except OverflowError:
        return None


def _clean(text: str) -> str:
    return " ".join(_storable(text).split())


def _blocks(text: str) -> str:
    lines = (" ".join(block.split()) for block in _storable(text).split(_BREAK))
    return "\n".join(line for line in lines if line)


def _storable(text: str) -> str:
    # PostgreSQL's text holds no NUL, and UTF-8 no lone surrogate.
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def _lines(text: str) -> str:
    return _BLANK_LINES.sub("\n", _SPACE.sub(" ", _storable(text))).strip()
