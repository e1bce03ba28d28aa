"""Dates as HTTP writes them (RFC 9110, section 5.6.7): three forms to read, one to write."""

from __future__ import annotations

import re
from calendar import timegm
from time import gmtime

_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_NAMES = tuple(month.decode().capitalize() for month in _MONTHS)
_TIME = rb"(?P<hour>[01]\d|2[0-4]):(?P<minute>[0-5]\d):(?P<second>[0-5]\d|60)"
_MONTH = rb"(?P<month>" + b"|".join(_MONTHS) + rb")"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rb"(?:mon|tue|wed|thu|fri|sat|sun), (?P<day>\d\d) " + _MONTH + rb" (?P<year>\d{4}) " + _TIME + b" gmt",
        rb"(?:mon|tues|wednes|thurs|fri|satur|sun)day, (?P<day>\d\d)-"
        + _MONTH
        + rb"-(?P<year>\d\d) "
        + _TIME
        + b" gmt",
        rb"(?:mon|tue|wed|thu|fri|sat|sun) " + _MONTH + rb" (?P<day>[ \d]\d) " + _TIME + rb" (?P<year>\d{4})",
    )
)


def parse_date(value: bytes, now: float) -> int | None:
    """Return a date as Unix time in seconds; None for anything that is not one, however nearly.

    A year of two digits is of the century that puts it less than fifty years after `now`.
    """
    value = value.strip()
    for form in _FORMS:
        if match := form.fullmatch(value):
            year = int(match["year"])
            if len(match["year"]) == 2:
                this_year = gmtime(now).tm_year
                year += this_year - this_year % 100
                if year > this_year + 50:
                    year -= 100
            month = _MONTHS.index(match["month"].lower()) + 1
            day = int(match["day"])
            if not 1 <= day <= 31:
                return None
            return timegm((year, month, day, int(match["hour"]), int(match["minute"]), int(match["second"])))
    return None


def format_date(seconds: float) -> bytes:
    """Return Unix time in seconds as an HTTP date."""
    at = gmtime(seconds)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_NAMES[at.tm_mon - 1]} {at.tm_year} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    ).encode()
