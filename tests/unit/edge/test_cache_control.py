from __future__ import annotations

import pytest

from roadworthy.edge.cache_control import parse_cache_control, parse_targeted, request_directives, response_directives


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (b"max-age=60", 60),
        (b"MaX-aGe=60", 60),
        (b"foobar, max-age=60", 60),
        (b'max-age="60"', 60),
        (b"max-age=0060", 60),
        (b"max-age=99999999999", 2**31),
        (b"max-age=60, max-age=60", 60),
        (b'extension="max-age=3600", max-age=1', 1),
        (b'max-age=1, extension="max-age=3600, \\" "', 1),
        (b"max-age=-1", 0),
        (b"max-age=60.5", 0),
        (b"max-age='60'", 0),
        (b"max-age=60a", 0),
        (b"max-age", 0),
        (b"max-age =60", 0),
        (b"max-age= 60", 0),
        (b"max-age=60, max-age=1", 0),
        (b"max-age=\xb2", 0),
        (b"no-cache", None),
        (b"", None),
    ],
)
def test_a_time_is_whole_seconds_and_what_is_unclear_is_none(line: bytes, seconds: int | None) -> None:
    assert parse_cache_control([line]).seconds("max-age") == seconds


def test_lines_are_read_as_one_list() -> None:
    directives = parse_cache_control([b"max-age=60", b"no-transform", b"s-maxage=10"])
    assert (directives.seconds("max-age"), directives.seconds("s-maxage")) == (60, 10)
    assert "no-transform" in directives
    assert "no-store" not in directives


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b'no-cache="a, B"', {b"a", b"b"}),
        (b"no-cache=a", {b"a"}),
        (b'no-cache="a", no-cache="b"', {b"a", b"b"}),
        (b"no-cache", None),
        (b'no-cache, no-cache="a"', None),
        (b'no-cache=""', None),
        (b'no-cache="a', None),
        (b"max-age=1", None),
    ],
)
def test_a_directive_of_fields_covers_everything_where_that_is_unclear(line: bytes, fields: set[bytes] | None) -> None:
    assert parse_cache_control([line]).fields("no-cache") == fields


@pytest.mark.parametrize("line", [b"no-store foo", b"no-store;x", b'"a", no-store', b"=, no-store", b",,no-store,"])
def test_what_forbids_is_heard_through_noise(line: bytes) -> None:
    assert "no-store" in parse_cache_control([line])


def test_a_targeted_field_is_a_dictionary() -> None:
    directives = parse_targeted([b"max-age=60", b"no-cache, must-understand=?0"])
    assert directives is not None
    assert directives.seconds("max-age") == 60
    assert "no-cache" in directives
    assert "must-understand" not in directives


@pytest.mark.parametrize(
    "line", [b"", b"max-age=60, &&&", b"MaX-aGe=60", b"max-age =60", b'max-age="60"', b"no-store=?0"]
)
def test_a_targeted_field_that_is_malformed_or_says_nothing_does_not_count(line: bytes) -> None:
    assert parse_targeted([line]) is None


def test_a_directive_of_another_type_is_left_out() -> None:
    directives = parse_targeted([b'max-age="60", no-store'])
    assert directives is not None
    assert directives.seconds("max-age") is None
    assert "no-store" in directives


def test_the_first_valid_targeted_field_replaces_cache_control() -> None:
    fields = {
        b"cache-control": [b"no-store"],
        b"cdn-cache-control": [b"max-age=1"],
        b"ours-cache-control": [b"max-age=2"],
        b"broken-cache-control": [b"&"],
    }
    order = (b"broken-cache-control", b"ours-cache-control", b"cdn-cache-control")
    directives, targeted = response_directives(fields, order)
    assert targeted
    assert directives.seconds("max-age") == 2
    assert "no-store" not in directives
    directives, targeted = response_directives(fields, (b"broken-cache-control",))
    assert not targeted
    assert "no-store" in directives


def test_pragma_counts_without_cache_control_only() -> None:
    assert "no-cache" in request_directives(None, b"no-cache")
    assert "no-cache" not in request_directives(b"max-age=1", b"no-cache")
    assert not request_directives(None, b"foo")
    assert not request_directives(None, None)
