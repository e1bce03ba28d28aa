"""Excerpts show why a page was found, and never let its text become HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from sitesearch.search.highlight import Form, excerpt, find, fold, mark

COMPOST = Form("compost")


def test_words_are_marked_in_any_case_and_only_whole() -> None:
    assert mark("Compost, composted COMPOST.", [COMPOST]) == "<mark>Compost</mark>, composted <mark>COMPOST</mark>."


def test_a_beginning_marks_the_whole_word() -> None:
    assert mark("composting", [Form("comp", prefix=True)]) == "<mark>composting</mark>"


def test_neighbours_are_one_mark() -> None:
    assert mark("asyncio.gather(x)", [Form("asyncio"), Form("gather", 1)]) == "<mark>asyncio.gather</mark>(x)"


def test_of_overlapping_forms_the_longest_is_marked() -> None:
    assert find("zip_longest", [Form("zip"), Form("zip_longest", 1)]) == [(0, 11, 1)]


def test_text_is_escaped_inside_and_outside_marks() -> None:
    assert mark("<b>compost</b> & more", [COMPOST]) == "&lt;b&gt;<mark>compost</mark>&lt;/b&gt; &amp; more"


def test_positions_stay_where_lower_case_is_longer() -> None:
    assert len(fold("İstanbul")) == len("İstanbul")
    assert mark("İİ compost", [COMPOST]) == "İİ <mark>compost</mark>"


def test_the_excerpt_is_where_the_words_stand_together() -> None:
    text = "Compost. " + "filler " * 200 + "The heap of compost is warm. " + "filler " * 200
    shown = excerpt(text, [COMPOST, Form("heap", 1)])
    assert "<mark>heap</mark> of <mark>compost</mark>" in shown
    assert shown.startswith("… ")
    assert shown.endswith(" …")


def test_without_a_match_the_excerpt_is_the_beginning() -> None:
    assert excerpt("Short  text\nhere.", [COMPOST]) == "Short text here."
    assert len(excerpt("word " * 500, [COMPOST])) < 300


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


@given(st.text(max_size=600), st.lists(st.text(min_size=1, max_size=4), max_size=4))
def test_no_text_makes_another_tag_than_mark(text: str, words: list[str]) -> None:
    forms = [Form(word, term, prefix=True) for term, word in enumerate(words)]
    for html in (mark(text, forms), excerpt(text, forms)):
        tags = Tags()
        tags.feed(html)
        assert set(tags.seen) <= {"mark"}
        assert html.count("<mark>") == html.count("</mark>")
    plain = re.sub("</?mark>", "", mark(text, forms))
    assert plain == mark(text, [])
