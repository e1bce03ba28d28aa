"""Clocks that are put forward and back."""

from __future__ import annotations

import sys
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from roadworthy.errors import DeclarationError
from roadworthy.jobs.wall_clock import WallClock

SPRING = datetime(2030, 3, 31, 1, tzinfo=UTC)
AUTUMN = datetime(2030, 10, 27, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
BERLIN = WallClock("Europe/Berlin")


def shown(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_skipped_time_is_first_reached_by_the_shift() -> None:
    assert BERLIN.first(shown("2030-03-31 01:59")) == SPRING - timedelta(minutes=1)
    for time in ("02:00", "02:30", "02:59:59", "03:00"):
        assert BERLIN.first(shown(f"2030-03-31 {time}")) == SPRING
    assert BERLIN.first(shown("2030-03-31 03:01")) == SPRING + timedelta(minutes=1)


def test_a_time_that_comes_twice_is_first_reached_on_the_first_pass() -> None:
    assert BERLIN.first(shown("2030-10-27 02:00")) == AUTUMN - HOUR
    assert BERLIN.first(shown("2030-10-27 02:59")) == AUTUMN - timedelta(minutes=1)
    assert BERLIN.first(shown("2030-10-27 03:00")) == AUTUMN + HOUR


def test_what_was_reached_stands_still_while_an_hour_comes_again() -> None:
    assert BERLIN.reached(AUTUMN - timedelta(minutes=1)) == shown("2030-10-27 02:59")
    for again in (timedelta(0), HOUR / 2, HOUR - timedelta(microseconds=1)):
        assert BERLIN.reached(AUTUMN + again) == shown("2030-10-27 02:59:59")
    assert BERLIN.reached(AUTUMN + HOUR) == shown("2030-10-27 03:00")
    assert BERLIN.reached(SPRING) == BERLIN.shows(SPRING) == shown("2030-03-31 03:00")


def test_shifts_are_found_from_either_side() -> None:
    assert BERLIN.first_shift(SPRING - 9 * HOUR, AUTUMN) == SPRING
    assert BERLIN.last_shift(SPRING, AUTUMN + 9 * HOUR) == AUTUMN
    assert BERLIN.first_shift(SPRING, AUTUMN - HOUR) is None, "after its beginning"
    assert BERLIN.last_shift(AUTUMN - HOUR, AUTUMN) == AUTUMN, "up to its end"
    assert BERLIN.last_shift(SPRING, AUTUMN - timedelta(seconds=1)) is None
    assert WallClock().first_shift(SPRING, AUTUMN) is WallClock().last_shift(SPRING, AUTUMN) is None


@pytest.mark.parametrize(
    ("timezone", "time", "moment"),
    [
        ("Australia/Lord_Howe", "2030-10-06 02:10", "2030-10-05 15:30"),  # half an hour
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00"),  # a whole day
        ("America/Juneau", "1867-10-19 12:00", "1867-10-18 20:57:41"),  # a whole day twice, by a local mean time
        ("America/Sao_Paulo", "2018-11-04 00:00", "2018-11-04 03:00"),  # midnight itself
        ("Europe/Amsterdam", "1937-07-01 00:00:10", "1937-06-30 22:40:28"),  # 28 seconds
        ("Europe/Dublin", "2018-10-28 01:30", "2018-10-28 00:30"),  # whose winter is the exception
    ],
)
def test_zones_of_every_kind(timezone: str, time: str, moment: str) -> None:
    assert WallClock(timezone).first(shown(time)) == datetime.fromisoformat(moment).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "hint"),
    [
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("europe/berlin ", "did you mean 'Europe/Berlin'?"),
        ("Mars", "write one such as 'Europe/Berlin'"),
        ("Europe", "not known here"),
        ("../etc/passwd", "not known here"),
        ("", "not known here"),
    ],
)
def test_an_unknown_zone_is_refused(timezone: str, hint: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        WallClock(timezone)
    assert hint in str(refused.value)


@contextmanager
def no_time_zone_data() -> Iterator[None]:
    found = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(())
    zoneinfo.ZoneInfo.clear_cache()
    try:
        yield
    finally:
        zoneinfo.reset_tzpath(found)
        zoneinfo.ZoneInfo.clear_cache()


def test_a_machine_without_data_says_what_to_install_and_still_knows_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tzdata", *sys.modules):
        if name.partition(".")[0] == "tzdata":
            monkeypatch.setitem(sys.modules, name, None)
    with no_time_zone_data():
        with pytest.raises(DeclarationError, match="pip install tzdata"):
            WallClock("Europe/Berlin")
        assert WallClock().shows(SPRING) == shown("2030-03-31 01:00")
