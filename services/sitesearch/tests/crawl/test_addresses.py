"""Addresses: one spelling each, what belongs to a site, and what is a trap."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitesearch.crawl import addresses
from sitesearch.crawl.addresses import BadAddress, Patterns, Scope, normalise


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("HTTP://Example.ORG", "http://example.org/"),
        ("http://example.org:80/", "http://example.org/"),
        ("https://example.org:443/a", "https://example.org/a"),
        ("https://example.org:8443/a", "https://example.org:8443/a"),
        ("http://example.org./", "http://example.org/"),
        ("http://example.org/a/./b/../c", "http://example.org/a/c"),
        ("http://example.org/../../a", "http://example.org/a"),
        ("http://example.org/a/..", "http://example.org/"),
        ("http://example.org/%7euser/%e4%bd%a0", "http://example.org/~user/%E4%BD%A0"),
        ("http://example.org/a%2Fb", "http://example.org/a%2Fb"),
        ("http://example.org/100%", "http://example.org/100%25"),
        ("http://example.org/ä b", "http://example.org/%C3%A4%20b"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://example.org/a#part", "http://example.org/a"),
        ("http://example.org/a?", "http://example.org/a"),
        ("http://example.org/?b=2&a=1", "http://example.org/?b=2&a=1"),
        ("http://example.org/?utm_source=x&id=3&fbclid=y", "http://example.org/?id=3"),
        ("http://example.org/a;jsessionid=ABC?PHPSESSID=1", "http://example.org/a"),
        ("http://example.org/?q=a+b&r=%41", "http://example.org/?q=a+b&r=A"),
        ("  http://exam\nple.org/a\tb ", "http://example.org/ab"),
        ("http://example.org\\a\\b", "http://example.org/a/b"),
        ("http://[::1]:80/", "http://[::1]/"),
        ("http://[2001:DB8:0::1]/", "http://[2001:db8::1]/"),
    ],
)
def test_normalising_gives_one_spelling(raw: str, normal: str) -> None:
    assert normalise(raw) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    ("reference", "normal"),
    [
        ("c", "http://example.org/a/c"),
        ("../c?x=1", "http://example.org/c?x=1"),
        ("//other.example/c", "http://other.example/c"),
        ("?page=2", "http://example.org/a/b?page=2"),
        ("", "http://example.org/a/b"),
    ],
)
def test_references_are_resolved_against_their_page(reference: str, normal: str) -> None:
    assert normalise(reference, "http://example.org/a/b") == normal


@pytest.mark.parametrize(
    "raw",
    [
        *(
            "ftp://example.org/",
            "javascript:alert(1)",
            "mailto:a@example.org",
            "data:text/html,x",
            "http://",
            "http:///a",
        ),
        *(
            "http://user:secret@example.org/",
            "http://example.org:0/",
            "http://example.org:99999/",
            "http://exa mple.org/",
        ),
        *("http://[::1/", "http://[nonsense]/", "http://example.org/" + "a" * 2000, "http://-.example/", "/relative"),
        "http://2130706433/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://example.0/",
    ],
)
def test_what_no_crawl_can_ask_for_is_refused(raw: str) -> None:
    with pytest.raises(BadAddress):
        normalise(raw)


@given(st.text(max_size=200))
def test_normalising_anything_gives_ascii_that_stays_or_is_refused(text: str) -> None:
    try:
        normal = normalise(text, "http://example.org/a/b")
    except BadAddress:
        return
    assert normal.isascii()
    assert not re.search(r"[\s\"<>]", normal)
    assert len(normal) <= addresses.LONGEST_ADDRESS
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    ("address", "shape"),
    [
        ("http://h1/calendar/2026/11/", "http://h1/calendar/#/#/"),
        ("http://h/item/0123456789abcdef", "http://h/item/#"),
        ("http://h/facade", "http://h/facade"),
        ("http://h/list?page=3&sort=name", "http://h/list?page=*&sort=*"),
    ],
)
def test_shapes_fold_what_traps_vary(address: str, shape: str) -> None:
    assert addresses.shape(address) == shape


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("http://h/" + "a/b/" * 4, "repeats"),
        ("http://h/" + "/".join(f"s{n}" for n in range(30)), "30 segments"),
        ("http://h/?" + "&".join(f"p{n}=1" for n in range(20)), "20 parameters"),
        ("http://h/?" + "&".join("p=1" for _ in range(5)), "repeats 'p'"),
    ],
)
def test_traps_are_known_by_their_address(address: str, complaint: str) -> None:
    assert complaint in (addresses.trap(address) or "")


def test_ordinary_addresses_are_no_traps() -> None:
    assert addresses.trap("http://h/docs/3.11/library/asyncio-task.html?highlight=gather&x=1") is None
    assert addresses.trap("http://h/") is None


def test_a_site_is_its_host_under_its_path() -> None:
    scope = Scope("http://example.org/docs/", "/docs/")
    assert scope.contains("http://example.org/docs/a")
    assert scope.contains("https://www.example.org/docs/a")
    assert scope.contains("http://example.org/docs")
    assert not scope.contains("http://example.org/docsextra")
    assert not scope.contains("http://sub.example.org/docs/a")
    assert not scope.contains("http://example.org:8080/docs/a")


def test_patterns_include_and_exclude_but_never_cut_off_the_start() -> None:
    scope = Scope(
        "http://h/",
        include=Patterns(("/docs/*", "/faq")),
        exclude=Patterns(("*.pdf", "http://h/docs/old/*", "*?print=*")),
    )
    assert scope.contains("http://h/")
    assert scope.contains("http://h/docs/a/b")
    assert scope.contains("http://h/faq")
    assert not scope.contains("http://h/faq/more")
    assert not scope.contains("http://h/other")
    assert not scope.contains("http://h/docs/a.pdf")
    assert not scope.contains("http://h/docs/old/a")
    assert not scope.contains("http://h/docs/a?print=1")


def test_patterns_are_bounded() -> None:
    with pytest.raises(ValueError, match="51 patterns are given; at most 50"):
        Patterns(("a",) * 51)
    with pytest.raises(ValueError, match="must have 1 to 300 characters"):
        Patterns((" ",))
    assert not Patterns(("*a" * 100,)).match("http://h/" + "a" * 1900 + "b")


def test_links_are_normal_sorted_and_each_once() -> None:
    raw = ["b", "/a", "http://h/x/b#part", "javascript:void(0)", "a?utm_medium=m", "//other/"]
    assert addresses.links(raw, "http://h/x/") == ["http://h/a", "http://h/x/a", "http://h/x/b", "http://other/"]


def test_origin_and_port() -> None:
    assert addresses.origin("https://example.org/a?b") == "https://example.org"
    assert addresses.host_and_port("https://example.org/a") == ("example.org", 443)
    assert addresses.host_and_port("http://[::1]:81/") == ("::1", 81)


@given(st.text(alphabet="ab/.-~_", min_size=1, max_size=12), st.text(alphabet="ab/.", max_size=8))
def test_plain_references_take_a_short_way_to_the_same_address(reference: str, path: str) -> None:
    base = normalise(f"http://h/{path}")
    try:
        expected = [normalise(reference, base)]
    except BadAddress:
        expected = []
    assert addresses.links([reference], base) == expected
