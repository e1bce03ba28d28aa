from __future__ import annotations

import pytest

from roadworthy.edge.ranges import UnsatisfiableRange, part


@pytest.mark.parametrize(
    ("value", "length", "found"),
    [
        (b"bytes=0-1", 10, (0, 2)),
        (b"Bytes = 0-1", 10, None),
        (b"bytes=5-", 10, (5, 10)),
        (b"bytes=5-99", 10, (5, 10)),
        (b"bytes=-3", 10, (7, 10)),
        (b"bytes=-30", 10, (0, 10)),
        (b"bytes=9-9", 10, (9, 10)),
        (b"bytes=0-1,3-4", 10, None),
        (b"bytes=5-4", 10, None),
        (b"bytes=-", 10, None),
        (b"lines=0-1", 10, None),
        (b"bytes=a-b", 10, None),
    ],
)
def test_one_range_is_found_and_the_rest_is_ignored(value: bytes, length: int, found: tuple[int, int] | None) -> None:
    got = part(value, length)
    assert (None if got is None else (got.first, got.end)) == found
    if got is not None:
        assert got.content_range == b"bytes %d-%d/%d" % (got.first, got.end - 1, length)


@pytest.mark.parametrize(("value", "length"), [(b"bytes=10-", 10), (b"bytes=-0", 10), (b"bytes=-5", 0)])
def test_a_range_without_a_byte_is_refused(value: bytes, length: int) -> None:
    with pytest.raises(UnsatisfiableRange):
        part(value, length)
