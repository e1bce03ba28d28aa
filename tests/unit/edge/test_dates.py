from __future__ import annotations

import pytest

from roadworthy.edge.dates import format_date, parse_date

NOW = 1_750_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        (b"sUN, 06 nOV 1994 08:49:37 gmt", 784111777),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        (b"Sun Nov  6 08:49:37 1994", 784111777),
        (b"Thursday, 18-Aug-50 02:01:18 GMT", 2544400878),
        (b"Sunday, 18-Aug-80 02:01:18 GMT", 335412078),
        (b"Sun, 21 Nov 2286 04:46:39 GMT", 10000039599),
        (b"0", None),
        (b"-1", None),
        (b"", None),
        (b"Thu, 18 Aug 2050 02:01:18 UTC", None),
        (b"Thu, 18 Aug 2050 02:01:18 +0000", None),
        (b"Thu, 18 Aug 50 02:01:18 GMT", None),
        (b"Thu 18 Aug 2050 02:01:18 GMT", None),
        (b"Thu, 18  Aug  2050 02:01:18 GMT", None),
        (b"Thu, 18-Aug-2050 02:01:18 GMT", None),
        (b"Thu, 18 Aug 2050 02.01.18 GMT", None),
        (b"Thu, 18 Aug 2050 2:01:18 GMT", None),
        (b"Thu, 00 Aug 2050 02:01:18 GMT", None),
        (b"Thu, 32 Aug 2050 02:01:18 GMT", None),
    ],
)
def test_three_forms_are_read_and_nothing_else(value: bytes, seconds: int | None) -> None:
    assert parse_date(value, NOW) == seconds


def test_what_is_written_is_read_again() -> None:
    assert format_date(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    for seconds in (0, NOW, 4102444799):
        assert parse_date(format_date(seconds), NOW) == int(seconds)
