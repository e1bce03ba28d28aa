from __future__ import annotations

import gzip

import pytest

from roadworthy.edge.etag import settled, strong_etag


def test_an_entity_tag_is_of_the_bytes_and_what_they_represent() -> None:
    one = strong_etag(b"page", b"", b"text/html")
    assert one == strong_etag(b"page", b"", b"text/html")
    others = [
        strong_etag(b"page!", b"", b"text/html"),
        strong_etag(b"page", b"br", b"text/html"),
        strong_etag(b"page", b"", b"text/plain"),
        strong_etag(b"htmlpage", b"", b"text/"),
    ]
    assert len({one, *others}) == 5
    assert one.startswith(b'"')
    assert one.endswith(b'"')


def test_when_a_body_was_compressed_does_not_matter() -> None:
    first, second = (gzip.compress(b"page" * 100, mtime=time) for time in (1, 2_000_000_000))
    assert first != second
    assert settled(first, b"gzip") == settled(second, b"GZIP")
    assert gzip.decompress(settled(first, b"gzip")) == b"page" * 100


@pytest.mark.parametrize(
    ("body", "encoding"), [(b"\x1f\x8bxxxxxxxxxxxxxxxxxxxx", b""), (b"\x1f\x8b", b"gzip"), (b"", b"gzip")]
)
def test_other_bodies_stay(body: bytes, encoding: bytes) -> None:
    assert settled(body, encoding) == body
