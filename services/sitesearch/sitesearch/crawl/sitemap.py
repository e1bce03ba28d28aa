"""Reads sitemaps (sitemaps.org): XML, an index of others, a feed, or plain text, gzipped or not, in bounded memory.

The XML parser is expat with entities refused when they are declared, so nothing expands and nothing is fetched.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from sitesearch.crawl import addresses
from sitesearch.crawl.charset import decode

LARGEST = 16 * 1024 * 1024
LARGEST_UNPACKED = 52_428_800
MOST_ADDRESSES = 50_000
_CHUNK = 64 * 1024
_GZIP = b"\x1f\x8b"


class BadSitemap(ValueError):
    """What was fetched is no sitemap; the message says what is wrong."""


@dataclass(slots=True)
class Sitemap:
    """What a sitemap lists: pages, and further sitemaps; `cut` is whether it listed more than is read."""

    pages: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)
    cut: bool = False


def read(body: bytes, url: str) -> Sitemap:
    """The normalised addresses in a sitemap that was fetched from `url`, at most 50,000.

    A sitemap that breaks off is read as far as it goes.

    Raises:
        BadSitemap: it is neither XML, nor text, nor gzip of these, or it declares entities.
    """
    head = next(_unpacked(body), b"").lstrip(b"\xef\xbb\xbf \t\r\n")
    raw = _from_xml(body) if head.startswith((b"<", b"\xff\xfe", b"\xfe\xff")) else _from_text(body)
    return Sitemap(
        addresses.links(raw.pages, url),
        [sitemap for sitemap in addresses.links(raw.sitemaps, url) if sitemap != url],
        raw.cut,
    )


class _Reader:
    def __init__(self) -> None:
        self.found = Sitemap()
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.EntityDeclHandler = self._entity
        self._path: list[str] = []
        self._address: list[str] | None = None
        self._length = 0

    def feed(self, chunk: bytes, *, last: bool = False) -> None:
        self._parser.Parse(chunk, last)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        self._path.append(local)
        if len(self._path) > 50:
            raise BadSitemap("its elements are nested more than 50 deep")
        if local == "link" and "href" in attributes and "entry" in self._path:
            self._add(self.found.pages, attributes["href"])
        elif local in ("loc", "link") and self._parent() in ("url", "sitemap", "item"):
            self._address, self._length = [], 0

    def _end(self, name: str) -> None:
        if self._address is not None and self._path[-1] in ("loc", "link"):
            kept = self.found.sitemaps if self._parent() == "sitemap" else self.found.pages
            self._add(kept, "".join(self._address))
            self._address = None
        self._path.pop()

    def _text(self, text: str) -> None:
        if self._address is not None and self._length <= addresses.LONGEST_ADDRESS:
            self._address.append(text)
            self._length += len(text)

    def _entity(self, *_: object) -> None:
        raise BadSitemap("it declares entities")

    def _parent(self) -> str:
        return self._path[-2] if len(self._path) > 1 else ""

    def _add(self, kept: list[str], address: str) -> None:
        if len(self.found.pages) + len(self.found.sitemaps) >= MOST_ADDRESSES:
            self.found.cut = True
        elif address.strip() and len(address) <= addresses.LONGEST_ADDRESS:
            kept.append(address)


def _from_xml(body: bytes) -> Sitemap:
    reader = _Reader()
    try:
        for chunk in _unpacked(body):
            reader.feed(chunk)
        reader.feed(b"", last=True)
    except expat.ExpatError as error:
        if not reader.found.pages and not reader.found.sitemaps:
            raise BadSitemap(f"it is no XML: {error}") from error
        reader.found.cut = True
    return reader.found


def _from_text(body: bytes) -> Sitemap:
    found = Sitemap()
    rest = b""
    for chunk in _unpacked(body):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            _add_line(found, line)
        rest = rest[: 2 * addresses.LONGEST_ADDRESS]
    _add_line(found, rest)
    if not found.pages:
        raise BadSitemap("it is neither XML nor a list of addresses")
    return found


def _add_line(found: Sitemap, line: bytes) -> None:
    address = line.strip()
    if not address.startswith((b"http://", b"https://")) or len(address) > addresses.LONGEST_ADDRESS:
        return
    if len(found.pages) >= MOST_ADDRESSES:
        found.cut = True
    else:
        found.pages.append(decode(address, "utf-8"))


def _unpacked(body: bytes) -> Iterator[bytes]:
    if not body.startswith(_GZIP):
        for start in range(0, len(body), _CHUNK):
            yield body[start : start + _CHUNK]
        return
    inflate = zlib.decompressobj(31)
    total, chunk = 0, body
    while chunk and not inflate.eof and total < LARGEST_UNPACKED:
        try:
            piece = inflate.decompress(chunk, _CHUNK)
        except zlib.error as error:
            raise BadSitemap(f"its gzip is broken: {error}") from error
        total += len(piece)
        yield piece
        chunk = inflate.unconsumed_tail
