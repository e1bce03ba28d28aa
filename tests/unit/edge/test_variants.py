from __future__ import annotations

import pytest

from roadworthy.edge.variants import normalised, selecting, vary_names


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ([], ()),
        ([b"Foo, BAR", b"baz,foo"], (b"bar", b"baz", b"foo")),
        ([b", foo ,"], (b"foo",)),
        ([b"*"], None),
        ([b"foo, *"], None),
        ([b"", b"*"], None),
        ([b"*, *"], None),
        ([b",".join(b"h%d" % index for index in range(17))], None),
    ],
)
def test_names_are_split_merged_and_lowered(lines: list[bytes], names: tuple[bytes, ...] | None) -> None:
    assert vary_names(lines) == names


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        (b"foo", b"1,2", b" 1 ,  2 ", True),
        (b"foo", b'"1, 2"', b'"1,2"', False),
        (b"foo", b"a", b"A", False),
        (b"accept-encoding", b"gzip, br", b"BR,gzip", True),
        (b"accept-encoding", b"gzip", b"gzip;q=0", False),
        (b"accept-language", b"en, de", b"EN,  De", True),
        (b"accept-language", b"en, de", b"de, en", False),
        (b"cookie", b"a=1, 2", b"a=1,2", False),
        (b"authorization", b"Basic a", b"basic a", False),
    ],
)
def test_differences_that_mean_nothing_go(name: bytes, one: bytes, other: bytes, same: bool) -> None:
    assert (normalised(name, one) == normalised(name, other)) is same
    assert (selecting([name], {name: one}) == selecting([name], {name: other})) is same


def test_no_two_combinations_of_values_are_mistaken_for_each_other() -> None:
    combinations = [
        {},
        {b"a": b""},
        {b"b": b""},
        {b"a": b"", b"b": b""},
        {b"a": b"1"},
        {b"b": b"1"},
        {b"a": b"1", b"b": b"1"},
        {b"a": b"11"},
        {b"a": b"1+1:b1:1"},
    ]
    assert len({selecting([b"a", b"b"], fields) for fields in combinations}) == len(combinations)
