from __future__ import annotations

import pytest

from roadworthy.edge.conditional import (
    entity_tags,
    freshened,
    headers_of_304,
    not_modified,
    outcome,
    range_applies,
    validating,
)

NOW = 1_750_000_000.0
EARLIER, LATER = b"Sun, 06 Nov 1994 08:49:37 GMT", b"Mon, 07 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("value", "etag", "is_same"),
    [
        (b'"a"', b'"a"', True),
        (b'"a"', b'W/"a"', True),
        (b'W/"a"', b'"a"', True),
        (b'"x", W/"a" ,"y"', b'"a"', True),
        (b'"x, a"', b'"a"', False),
        (b"*", b'"a"', True),
        (b"*", None, True),
        (b'"a"', None, False),
        (b'"b"', b'"a"', False),
        (b"a", b"a", True),
        (b"a", b'"a"', False),
        (b'"\xfc"', b'"\xfc"', True),
    ],
)
def test_if_none_match_compares_weakly(value: bytes, etag: bytes | None, is_same: bool) -> None:
    assert not_modified({b"if-none-match": value}, etag=etag, last_modified=None, now=NOW) is is_same


def test_if_none_match_decides_alone() -> None:
    both = {b"if-none-match": b'"a"', b"if-modified-since": LATER}
    assert not not_modified(both, etag=b'"b"', last_modified=EARLIER, now=NOW)
    both = {b"if-none-match": b'"a"', b"if-modified-since": EARLIER}
    assert not_modified(both, etag=b'"a"', last_modified=LATER, now=NOW)


@pytest.mark.parametrize(
    ("since", "modified", "is_same"),
    [
        (EARLIER, EARLIER, True),
        (LATER, EARLIER, True),
        (b"Monday, 07-Nov-94 08:49:37 GMT", LATER, True),
        (EARLIER, LATER, False),
        (b"nonsense", EARLIER, False),
        (LATER, None, False),
    ],
)
def test_if_modified_since(since: bytes, modified: bytes | None, is_same: bool) -> None:
    assert not_modified({b"if-modified-since": since}, etag=None, last_modified=modified, now=NOW) is is_same


@pytest.mark.parametrize(
    ("method", "fields", "expected"),
    [
        ("GET", {}, 200),
        ("GET", {b"if-none-match": b'"a"'}, 304),
        ("PUT", {b"if-none-match": b'"a"'}, 412),
        ("PUT", {b"if-none-match": b"*"}, 412),
        ("PUT", {b"if-modified-since": LATER}, 200),
        ("PUT", {b"if-match": b'"a"'}, 200),
        ("PUT", {b"if-match": b"*"}, 200),
        ("PUT", {b"if-match": b'W/"a"'}, 412),
        ("PUT", {b"if-match": b'"b"'}, 412),
        ("GET", {b"if-match": b'"b"', b"if-none-match": b'"a"'}, 412),
        ("PUT", {b"if-unmodified-since": EARLIER}, 412),
        ("PUT", {b"if-unmodified-since": LATER}, 200),
        ("PUT", {b"if-unmodified-since": EARLIER, b"if-match": b'"a"'}, 200),
    ],
)
def test_preconditions_of_an_origin(method: str, fields: dict[bytes, bytes], expected: int) -> None:
    assert outcome(method, fields, etag=b'"a"', last_modified=LATER, now=NOW) == expected


def test_preconditions_where_nothing_is_there() -> None:
    def of(fields: dict[bytes, bytes]) -> int:
        return outcome("PUT", fields, etag=None, last_modified=None, now=NOW, exists=False)

    assert of({b"if-match": b"*"}) == 412
    assert of({b"if-none-match": b"*"}) == 200


@pytest.mark.parametrize(
    ("value", "applies"),
    [(None, True), (b'"a"', True), (b'W/"a"', False), (b'"b"', False), (EARLIER, True), (LATER, False)],
)
def test_if_range_compares_strongly(value: bytes | None, applies: bool) -> None:
    assert range_applies(value, etag=b'"a"', last_modified=EARLIER) is applies


def test_a_304_describes_no_content_it_has_not() -> None:
    headers = [
        (name, b"x")
        for name in (
            b"etag", b"vary", b"cache-control", b"expires", b"content-location", b"date", b"content-type",
            b"content-length", b"last-modified", b"content-security-policy", b"set-cookie",
        )
    ]  # fmt: skip
    kept = [name for name, _ in headers_of_304(headers, etag=b"x")]
    assert kept == [
        b"etag", b"vary", b"cache-control", b"expires", b"content-location", b"date", b"content-security-policy",
    ]  # fmt: skip
    assert (b"last-modified", b"x") in headers_of_304(headers, etag=None)


def test_a_validating_request_has_our_conditions_and_no_others() -> None:
    headers = [(b"accept", b"*/*"), (b"if-none-match", b'"theirs"'), (b"if-match", b"*")]
    assert validating(headers, etag=b'"ours"', last_modified=EARLIER) == [
        (b"accept", b"*/*"),
        (b"if-none-match", b'"ours"'),
        (b"if-modified-since", EARLIER),
    ]


def test_a_304_replaces_what_it_brings() -> None:
    stored = ((b"a", b"1"), (b"b", b"1"), (b"b", b"2"), (b"content-length", b"5"))
    received = [(b"b", b"3"), (b"content-length", b"0"), (b"c", b"4")]
    assert freshened(stored, received, frozenset({b"content-length"})) == (
        (b"a", b"1"),
        (b"content-length", b"5"),
        (b"b", b"3"),
        (b"c", b"4"),
    )


def test_a_malformed_list_of_entity_tags_is_none() -> None:
    assert entity_tags(b'"a", W/"b"') == [b'"a"', b'W/"b"']
    assert entity_tags(b'"a", b') is None
