"""Sitemaps: every form that is in use, and nothing that expands."""

from __future__ import annotations

import gzip

import pytest
from hostile import BILLION_LAUGHS

from sitesearch.crawl import sitemap
from sitesearch.crawl.sitemap import BadSitemap

URL = "http://h/sitemap.xml"
URLSET = b"""<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc> http://h/b </loc><lastmod>2026-01-01</lastmod>
    <image:image><image:loc>http://h/picture.png</image:loc></image:image></url>
  <url><loc>/a?x=1&amp;y=2</loc></url><url><loc>ftp://h/no</loc></url><url><loc/></url>
</urlset>"""


@pytest.mark.parametrize("body", [URLSET, gzip.compress(URLSET, mtime=0), b"\xef\xbb\xbf" + URLSET])
def test_pages_of_a_sitemap(body: bytes) -> None:
    assert sitemap.read(body, URL).pages == ["http://h/a?x=1&y=2", "http://h/b"]


def test_an_index_lists_sitemaps_but_not_itself() -> None:
    body = f"<sitemapindex><sitemap><loc>/one.xml</loc></sitemap><sitemap><loc>{URL}</loc></sitemap></sitemapindex>"
    read = sitemap.read(body.encode(), URL)
    assert read.sitemaps == ["http://h/one.xml"]
    assert read.pages == []


def test_feeds_and_text() -> None:
    rss = b"<rss><channel><link>http://h/</link><item><link>http://h/story</link></item></channel></rss>"
    atom = b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><link href="/entry"/></entry></feed>'
    assert sitemap.read(rss, URL).pages == ["http://h/story"]
    assert sitemap.read(atom, URL).pages == ["http://h/entry"]
    assert sitemap.read(b"http://h/b\r\nnonsense\nhttp://h/a\n", URL).pages == ["http://h/a", "http://h/b"]


def test_what_breaks_off_is_read_as_far_as_it_goes() -> None:
    read = sitemap.read(URLSET[:-120], URL)
    assert read.pages == ["http://h/b"]
    assert read.cut


@pytest.mark.parametrize(
    "body",
    [b"", b"<html><p>not <b>a sitemap", b"nothing here", b"\x1f\x8bnot gzip", b"<a>" * 60, BILLION_LAUGHS.encode()],
)
def test_what_is_no_sitemap_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(BadSitemap):
        sitemap.read(body, URL)


def test_entities_from_elsewhere_are_never_fetched() -> None:
    body = b'<!DOCTYPE u [<!ENTITY e SYSTEM "file:///etc/passwd">]><urlset><url><loc>/&e;</loc></url></urlset>'
    with pytest.raises(BadSitemap, match="declares entities"):
        sitemap.read(body, URL)


def test_the_number_of_addresses_is_capped() -> None:
    entries = b"".join(b"<url><loc>/%d</loc></url>" % number for number in range(sitemap.MOST_ADDRESSES + 10))
    read = sitemap.read(b"<urlset>" + entries + b"</urlset>", URL)
    assert len(read.pages) == sitemap.MOST_ADDRESSES
    assert read.cut
    lines = b"".join(b"http://h/%d\n" % number for number in range(sitemap.MOST_ADDRESSES + 10))
    assert sitemap.read(lines, URL).cut


def test_a_gzip_bomb_is_read_to_the_cap_alone() -> None:
    bomb = gzip.compress(b"<urlset>" + b" " * (sitemap.LARGEST_UNPACKED + 10_000_000) + b"</urlset>")
    with pytest.raises(BadSitemap):
        sitemap.read(bomb, URL)


def test_a_very_long_address_is_left_out() -> None:
    body = b"<urlset><url><loc>/" + b"x" * 100_000 + b"</loc></url><url><loc>/fine</loc></url></urlset>"
    assert sitemap.read(body, URL).pages == ["http://h/fine"]
