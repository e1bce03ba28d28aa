"""Extraction: what is searched, what is not, and nothing that raises."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitesearch.crawl import extract
from sitesearch.crawl.extract import Selectors

URL = "http://h/docs/page"
PAGE = """<!doctype html>
<html lang="en-GB"><head><title>Coroutines and tasks &#8212; The manual</title>
<meta name="description" content="How to  run
coroutines"><link rel="canonical" href="/docs/coroutines">
<meta property="article:published_time" content="2024-05-06T07:08:09+02:00">
<script type="application/ld+json">{"@graph": [{"dateModified": "2025-01-02"}]}</script>
<style>p {color: red}</style></head>
<body><nav><a href="/menu">Menu</a></nav><header>Banner</header>
<main><h1>Coroutines and tasks<a class="headerlink" href="#x">¶</a></h1>
<p>Use <code><span>asyncio</span><span>.</span><span>gather</span></code> to <b>wa</b>it.</p>
<ul><li>one</li><li>two</li></ul>
<h2>Cancelling</h2><script>alert("no")</script><div hidden>secret</div>
<a href="next#part">Next</a> <a href="next">again</a> <a rel="nofollow" href="/paid">paid</a>
<a href="mailto:x@y">m</a></main>
<aside>Advert</aside><footer>Imprint</footer></body></html>"""


def test_a_page() -> None:
    page = extract.html(PAGE, URL, Selectors())
    assert page.title == "Coroutines and tasks"
    assert page.headings == "Coroutines and tasks\nCancelling"
    assert page.description == "How to run coroutines"
    assert page.text == "Coroutines and tasks\nUse asyncio.gather to wait.\none\ntwo\nCancelling\nNext again paid m"
    assert page.language == "en"
    assert page.canonical == "http://h/docs/coroutines"
    assert page.links == ["http://h/docs/next", "http://h/menu"]
    assert page.published_at == datetime(2024, 5, 6, 5, 8, 9, tzinfo=UTC)
    assert page.modified_at == datetime(2025, 1, 2, tzinfo=UTC)
    assert not page.noindex


def test_selectors_choose_what_is_searched() -> None:
    document = "<title>T</title><div class=t>The title</div><p>no</p><div class=c>yes <i class=d>drop</i></div>"
    page = extract.html(document, URL, Selectors(content=".c", title=".t", drop=".d"))
    assert (page.title, page.text) == ("The title", "yes")
    missing = extract.html(document, URL, Selectors(content=".missing", title=".missing"))
    assert missing.title == "T"
    assert "yes" in missing.text


@pytest.mark.parametrize("selector", ["div[[", "", "::::"])
def test_a_wrong_selector_is_named(selector: str) -> None:
    with pytest.raises(ValueError, match="the content selector"):
        Selectors(content=selector)


def test_settings_with_one_fingerprint_extract_the_same() -> None:
    assert Selectors().fingerprint == Selectors().fingerprint
    assert Selectors(content="p").fingerprint != Selectors(title="p").fingerprint


def test_robots_elements_are_read() -> None:
    page = extract.html('<meta name="ROBOTS" content="NoIndex, nofollow"><a href=/a>a</a>', URL, Selectors())
    assert page.noindex
    assert page.nofollow
    assert page.links == []
    other = extract.html('<meta name="otherbot" content="none"><a href=/a>a</a>', URL, Selectors())
    assert not other.noindex
    assert other.links == ["http://h/a"]


def test_a_base_element_moves_links() -> None:
    assert extract.html('<base href="/b/"><a href=c>c</a>', URL, Selectors()).links == ["http://h/b/c"]
    assert extract.html('<base href="javascript:1"><a href=c>c</a>', URL, Selectors()).links == ["http://h/docs/c"]


def test_links_are_capped_and_the_rest_counted() -> None:
    page = extract.html("".join(f"<a href=/{n}>x</a>" for n in range(10_000)), URL, Selectors())
    assert len(page.links) == extract.MOST_LINKS
    assert page.links_cut == 10_000 - extract.MOST_LINKS


def test_text_is_capped() -> None:
    assert len(extract.html("<p>" + "word " * 200_000, URL, Selectors()).text) == extract.LONGEST_TEXT


def test_the_title_falls_back() -> None:
    assert extract.html('<meta property="og:title" content="Shared">', URL, Selectors()).title == "Shared"
    assert extract.html("<h1>Heading #</h1>", URL, Selectors()).title == "Heading"
    assert extract.html("<title>Site</title><h1>Heading</h1>", URL, Selectors()).title == "Site"
    assert extract.html("<p>x", URL, Selectors()).title == ""


def test_several_articles_are_one_page() -> None:
    assert extract.html("<article>one</article><article>two</article>", URL, Selectors()).text == "one\ntwo"


@pytest.mark.parametrize(
    ("markup", "date"),
    [
        ('<time datetime="2024-02-30">', None),
        ('<time datetime="0001-01-01">', None),
        ('<time datetime="2024-02-03T04:05Z">', datetime(2024, 2, 3, 4, 5, tzinfo=UTC)),
        ('<meta name="date" content="Tue, 06 Aug 2024 01:02:03 GMT">', datetime(2024, 8, 6, 1, 2, 3, tzinfo=UTC)),
        ('<script type="application/ld+json">[[[</script>', None),
        ('<script type="application/ld+json">[{"datePublished": 7}]</script>', None),
    ],
)
def test_dates(markup: str, date: datetime | None) -> None:
    assert extract.html(markup, URL, Selectors()).published_at == date


def test_http_dates() -> None:
    assert extract.http_date("Wed, 21 Oct 2015 07:28:00 GMT") == datetime(2015, 10, 21, 7, 28, tzinfo=UTC)
    assert extract.http_date("yesterday") is None
    assert extract.http_date(None) is None
    assert extract.http_date("Thu, 01 Jan 1970 00:00:00 GMT") is None


def test_plain_text() -> None:
    page = extract.plain("First line\n\nrest\0", "http://h/a.txt")
    assert (page.title, page.text) == ("First line", "First line\nrest")
    assert extract.plain("", "http://h/a.txt").title == "a.txt"


def test_content_hashes_tell_pages_apart() -> None:
    first, second = (extract.html(f"<title>{title}</title><p>x", URL, Selectors()) for title in "ab")
    assert first.content_hash != second.content_hash
    assert first.content_hash == extract.html("<title>a</title><p>x", URL, Selectors()).content_hash


@pytest.mark.parametrize(
    "document",
    ["", "<", "\0", "\ud800", "<frameset><frame src=a>", "</body><title>x", "<p" * 50, "<html" + " lang=a" * 500 + ">"],
)
def test_broken_documents_never_raise(document: str) -> None:
    extract.html(document, URL, Selectors())


_MARKUP = (
    "<main> </main> <p > <a href=' '> </body> <base href= <h1> <table> <!-- --> <svg> <title> <template> <html lang="
)
_PIECES = st.sampled_from(
    [*_MARKUP.split(" "), "&#x0;", "&#xD800;", "\0", "é", "<meta name=robots content=", "<script>"]
)


@given(st.lists(_PIECES | st.text(max_size=5), max_size=40).map("".join))
def test_no_markup_raises_or_yields_what_cannot_be_stored(document: str) -> None:
    page = extract.html(document, URL, Selectors())
    for text in (page.title, page.headings, page.description, page.text):
        assert "\0" not in text
        text.encode()


@pytest.mark.parametrize("separator", [" ", "/", "<", '"', "='>' ", '=">" '])
def test_a_tag_of_a_million_attributes_is_left_out(separator: str) -> None:
    # The parser alone would take the square of their number; the test's time-out is what would tell.
    crowd = separator.join(f"a{number} " for number in range(300_000))
    page = extract.html(f"<title>crowded</title><p>before</p><p {crowd}>after</p>", URL, Selectors())
    assert page.title == "crowded"
    assert "before" in page.text


def test_a_page_of_more_tags_than_are_read_is_cut() -> None:
    page = extract.html("<title>many</title>" + "<p>x" * (2 * extract.MOST_TAGS) + "<h1>end</h1>", URL, Selectors())
    assert page.title == "many"
    assert page.text.count("x") == extract.MOST_TAGS - 3
    assert page.headings == ""
