"""From bytes to text, whatever is declared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitesearch.crawl.charset import decode

TEXT = "Größe, naïve café"


@pytest.mark.parametrize(
    ("body", "declared"),
    [
        (TEXT.encode(), None),
        (TEXT.encode(), "utf-8"),
        (TEXT.encode(), "iso-8859-15x"),
        (TEXT.encode("cp1252"), None),
        (TEXT.encode("cp1252"), "ISO-8859-1"),
        (TEXT.encode("cp1252"), "utf-8"),
        (TEXT.encode(), "us-ascii"),
        (b"\xef\xbb\xbf" + TEXT.encode(), "iso-8859-1"),
        (TEXT.encode("utf-16"), "utf-8"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), None),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
    ],
)
def test_the_text_is_found(body: bytes, declared: str | None) -> None:
    assert decode(body, declared) == TEXT


def test_a_meta_element_declares_the_charset() -> None:
    document = '<html><meta charset="koi8-r"><p>Привет</p>'
    assert "Привет" in decode(document.encode("koi8-r"))
    old = '<meta http-equiv="Content-Type" content="text/html; charset=shift_jis">日本'
    assert "日本" in decode(old.encode("shift_jis"))
    assert decode(b'<meta charset="utf-16"><p>plain') == '<meta charset="utf-16"><p>plain'


def test_the_header_goes_before_the_meta_element() -> None:
    assert "Привет" in decode('<meta charset="cp1252">Привет'.encode("koi8-r"), "koi8-r")


def test_utf8_that_is_cut_off_or_has_a_stray_byte_stays_utf8() -> None:
    assert decode((TEXT * 5).encode()[:-1], "utf-8").startswith(TEXT)
    assert decode((TEXT * 5).encode() + b" \xff " + TEXT.encode(), "utf-8").count("Größe") == 6


def test_codecs_that_are_no_charsets_are_not_used() -> None:
    assert decode(b"+ADw-script+AD4-", "utf-7") == "+ADw-script+AD4-"
    assert decode(b"a\\u0041", "unicode_escape") == "a\\u0041"
    assert decode(b"abc", "rot13") == "abc"
    assert decode(b"abc", "\0") == "abc"


@given(st.binary(max_size=300), st.none() | st.text(max_size=20) | st.sampled_from(["utf-8", "utf-16", "big5", "hz"]))
def test_nothing_raises(body: bytes, declared: str | None) -> None:
    decode(body, declared).encode("utf-8", "replace")
