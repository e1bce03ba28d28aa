"""When repeating jobs fire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.errors import DeclarationError
from roadworthy.jobs.cron import Cron, Every, schedule_of


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "moment", "before", "after"),
    [
        ("* * * * *", "2030-01-01 00:00:30", "2030-01-01 00:00", "2030-01-01 00:01"),
        ("0 3 * * *", "2030-01-01 03:00", "2030-01-01 03:00", "2030-01-02 03:00"),
        ("*/15 * * * *", "2030-01-01 00:14", "2030-01-01 00:00", "2030-01-01 00:15"),
        ("5-20/5 8 * * *", "2030-01-01 08:11", "2030-01-01 08:10", "2030-01-01 08:15"),
        ("30 4 1 jan *", "2030-06-01 00:00", "2030-01-01 04:30", "2031-01-01 04:30"),
        ("0 0 29 2 *", "2030-01-01 00:00", "2028-02-29 00:00", "2032-02-29 00:00"),
        ("0 0 29 2 *", "2097-01-01 00:00", "2096-02-29 00:00", "2104-02-29 00:00"),
        ("0 0 * * mon-fri", "2030-01-05 12:00", "2030-01-04 00:00", "2030-01-07 00:00"),
        ("0 0 * * 7", "2030-01-05 12:00", "2029-12-30 00:00", "2030-01-06 00:00"),
        ("0 0 13 * fri", "2030-01-10 00:00", "2030-01-04 00:00", "2030-01-11 00:00"),
        ("0 0 13 * *", "2030-01-10 00:00", "2029-12-13 00:00", "2030-01-13 00:00"),
        ("0 12 */2 * mon", "2030-01-01 00:00", "2029-12-31 12:00", "2030-01-07 12:00"),
        ("50/5 0 * * *", "2030-01-01 00:56", "2030-01-01 00:55", "2030-01-02 00:50"),
        ("0 0 1,15 * *", "2030-01-14 00:00", "2030-01-01 00:00", "2030-01-15 00:00"),
    ],
)
def test_fire_times(expression: str, moment: str, before: str, after: str) -> None:
    cron = Cron.parse(expression)
    assert cron.before(at(moment)) == at(before)
    assert cron.after(at(moment)) == at(after)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("* * * *", "has 4 fields"),
        ("60 * * * *", "minute holds '60'; it takes numbers from 0 to 59"),
        ("* 24 * * *", "hour holds '24'"),
        ("* * 0 * *", "day of month holds '0'"),
        ("* * * foo *", "takes numbers from 1 to 12 or jan..dec"),
        ("* * * * 8", "day of week holds '8'"),
        ("*/0 * * * *", "step '0'"),
        ("*/x * * * *", "step 'x'"),
        ("5/ * * * *", "step ''"),
        ("30-10 * * * *", "runs backwards"),
        (",5 * * * *", "holds ''"),
        ("-5 * * * *", "holds ''"),
        ("² * * * *", "holds '²'"),
        ("0 0 31 feb *", "never comes true"),
    ],
)
def test_what_is_no_cron_expression_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(DeclarationError, match="cron expression") as refused:
        Cron.parse(expression)
    assert reason in str(refused.value)


_fields = st.tuples(
    st.sampled_from(["*", "*/7", "0", "13,46", "50-59"]),
    st.sampled_from(["*", "*/5", "0", "23", "8-17"]),
    st.sampled_from(["*", "1", "31", "*/9"]),
    st.sampled_from(["*", "feb", "*/3"]),
    st.sampled_from(["*", "0", "sat,sun", "1-5"]),
).filter(lambda fields: (fields[2], fields[3]) != ("31", "feb"))
_moments = st.integers(946_684_800, 4_102_444_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@settings(deadline=None, max_examples=60)
@given(fields=_fields, moment=_moments)
def test_the_walk_finds_the_nearest_fire_times(fields: tuple[str, ...], moment: datetime) -> None:
    cron = Cron.parse(" ".join(fields))
    before, after = cron.before(moment), cron.after(moment)
    assert before <= moment < after
    for fire_time in (before, after):
        assert cron.before(fire_time) == fire_time
        assert cron.after(fire_time - timedelta(seconds=1)) == fire_time
    assert cron.before(after - timedelta(minutes=1)) == before
    assert cron.after(before) == after


def test_a_moment_of_another_zone_is_read_in_utc() -> None:
    moment = datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=5)))
    assert Cron.parse("0 0 * * *").before(moment) == at("2029-12-31 00:00")


@given(seconds=st.integers(1, 10**7), moment=_moments)
def test_every_is_aligned_to_the_epoch(seconds: int, moment: datetime) -> None:
    every = Every(timedelta(seconds=seconds))
    before, after = every.before(moment), every.after(moment)
    assert before <= moment < after
    assert after - before == every.interval
    assert int(before.timestamp()) % seconds == 0


BERLIN = "Europe/Berlin"


def fires(expression: str, timezone: str, since: str, until: str) -> list[str]:
    """Return the fire times within a stretch of time, in UTC."""
    cron, moment, found = Cron.parse(expression, timezone), at(since) - timedelta(seconds=1), []
    while (moment := cron.after(moment)) < at(until):
        found.append(f"{moment:%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["30 01:30", "31 01:00", "01 00:30"]),  # at 03:00, when clocks have passed it
        ("0 2 * * *", ["30 01:00", "31 01:00", "01 00:00"]),
        ("0,20,40 2 31 3 *", ["31 01:00"]),  # three times are skipped by one shift
        ("0,30 2-3 31 3 *", ["31 01:00", "31 01:30"]),
        ("15 3 * * *", ["30 02:15", "31 01:15", "01 01:15"]),
        (
            "0 */6 * * *",
            ["30 05:00", "30 11:00", "30 17:00", "30 23:00", "31 04:00", "31 10:00", "31 16:00", "31 22:00"],
        ),
        ("20 * 31 3 *", ["30 23:20", *(f"31 {hour:02}:20" for hour in range(22))]),  # no hour of 23 is missing
        ("*/30 0-3 31 3 *", ["30 23:00", "30 23:30", "31 00:00", "31 00:30", "31 01:00", "31 01:30"]),
    ],
)
def test_clocks_are_put_forward(expression: str, expected: list[str]) -> None:
    assert fires(expression, BERLIN, "2030-03-30 00:00", "2030-04-01 02:00") == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["26 00:30", "27 00:30", "28 01:30"]),
        ("0 2 * * *", ["26 00:00", "27 00:00", "28 01:00"]),
        ("*/20 2 27 10 *", ["27 00:00", "27 00:20", "27 00:40"]),  # an hour that is named comes once
        ("*/20 */2 27 10 *", None),
        ("0 3 * * *", ["26 01:00", "27 02:00", "28 02:00"]),
        ("40 * 27 10 *", ["26 22:40", "26 23:40", *(f"27 {hour:02}:40" for hour in range(23))]),  # 25 hours
        ("40 0-23 27 10 *", ["26 22:40", "26 23:40", *(f"27 {hour:02}:40" for hour in range(23))]),
    ],
)
def test_clocks_are_put_back(expression: str, expected: list[str] | None) -> None:
    found = fires(expression, BERLIN, "2030-10-26 00:00", "2030-10-28 02:30")
    if expected is None:
        expected = [f"{day:%d %H:%M}" for day in _both_passes()]
    assert found == expected


def _both_passes() -> Iterator[datetime]:
    """Every 20 minutes of each second hour of the day; the hour from two comes twice."""
    for hour in (-2, 0, 1, *range(3, 23, 2)):
        for minute in (0, 20, 40):
            yield at("2030-10-27 00:00") + timedelta(hours=hour, minutes=minute)


# Zones and moments about which they shifted: by an hour, half of one, a day; at midnight; in the year they gave it up.
_SHIFTS = [
    (BERLIN, "2030-03-31 01:00"),
    (BERLIN, "2030-10-27 01:00"),
    (BERLIN, "1945-05-24 00:00"),
    ("America/New_York", "2030-11-03 06:00"),
    ("Australia/Lord_Howe", "2030-10-05 15:30"),
    ("Australia/Lord_Howe", "2030-04-06 15:00"),
    ("Pacific/Apia", "2011-12-30 10:00"),
    ("Pacific/Kwajalein", "1993-08-21 12:00"),
    ("America/Sao_Paulo", "2018-11-04 03:00"),
    ("America/Havana", "2018-11-04 05:00"),
    ("Asia/Kathmandu", "1985-12-31 18:30"),
    ("America/Caracas", "2007-12-09 07:00"),
    ("Asia/Pyongyang", "2018-05-04 15:00"),
    ("Antarctica/Troll", "2030-03-31 01:00"),
    ("Europe/Dublin", "2030-10-27 01:00"),
    ("Asia/Gaza", "2023-10-27 23:00"),
]
_MINUTES = [("*", range(60)), ("*/20", range(0, 60, 20)), ("0", [0]), ("30", [30]), ("7,59", [7, 59])]
_HOURS = [
    ("*", range(24), True),
    ("*/2", range(0, 24, 2), True),
    ("1-3/2", [1, 3], True),
    ("0", [0], False),
    ("1", [1], False),
    ("2", [2], False),
    ("0-3", range(4), False),
    ("0-12", range(13), False),
    ("23", [23], False),
]
_WEEKDAYS = [("*", range(7)), ("5", [5]), ("0,6", [0, 6])]


@settings(deadline=None, max_examples=80)
@given(
    shift=st.sampled_from(_SHIFTS),
    minute=st.sampled_from(_MINUTES),
    hour=st.sampled_from(_HOURS),
    weekday=st.sampled_from(_WEEKDAYS),
)
def test_every_shift_agrees_with_a_model_that_watches_the_clock(
    shift: tuple[str, str],
    minute: tuple[str, Iterable[int]],
    hour: tuple[str, Iterable[int], bool],
    weekday: tuple[str, Iterable[int]],
) -> None:
    """The model looks at the clock each minute, and fires for what it shows, or what it passed for the first time."""
    timezone, shifts_at = shift
    zone, middle = ZoneInfo(timezone), at(shifts_at)
    named = (set(minute[1]), set(hour[1]), set(weekday[1]))
    first, last = middle - timedelta(days=2), middle + timedelta(days=2)
    highest = first.astimezone(zone).replace(tzinfo=None) - timedelta(minutes=1)
    expected = []
    moment = first
    while moment <= last:
        shows = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        passed = [] if shows <= highest else _minutes_between(highest, shows)
        if any(_is_named(time, *named) for time in ([shows] if hour[2] else passed)):
            expected.append(moment)
        highest = max(highest, shows)
        moment += timedelta(minutes=1)

    cron = Cron.parse(f"{minute[0]} {hour[0]} * * {weekday[0]}", timezone)
    found, moment = [], first - timedelta(seconds=1)
    while (moment := cron.after(moment)) <= last:
        found.append(moment)
    assert found == expected
    for fire_time, following in pairwise(expected):
        assert cron.before(fire_time) == fire_time
        assert cron.before(following - timedelta(microseconds=1)) == fire_time


def _minutes_between(after: datetime, until: datetime) -> list[datetime]:
    count = (until - after) // timedelta(minutes=1)
    return [after + timedelta(minutes=number) for number in range(1, count + 1)]


def _is_named(time: datetime, minutes: set[int], hours: set[int], weekdays: set[int]) -> bool:
    return time.minute in minutes and time.hour in hours and time.isoweekday() % 7 in weekdays


@settings(deadline=None, max_examples=60)
@given(fields=_fields, moment=_moments, timezone=st.sampled_from(sorted({zone for zone, _ in _SHIFTS})))
def test_before_and_after_agree_in_every_zone(fields: tuple[str, ...], moment: datetime, timezone: str) -> None:
    cron = Cron.parse(" ".join(fields), timezone)
    before, after = cron.before(moment), cron.after(moment)
    assert before <= moment < after
    assert cron.before(before) == before
    assert cron.after(before) == after
    assert cron.before(after) == after
    assert cron.before(after - timedelta(microseconds=1)) == before
    assert cron.after(before - timedelta(microseconds=1)) == before


def test_seconds_in_an_offset_are_kept() -> None:
    """Amsterdam was 19 minutes and 32 seconds ahead of Greenwich until 1937."""
    for expression in ("0 12 * * *", "0 */12 * * *"):
        assert Cron.parse(expression, "Europe/Amsterdam").after(at("1930-01-01 09:00")) == at("1930-01-01 11:40:28")


def test_a_definition_tells_schedules_apart() -> None:
    definitions = {
        Cron.parse("0  3 * * MON").definition,
        Cron.parse("0 3 * * mon").definition,
        Cron.parse("0 3 * * mon", BERLIN).definition,
        Every(timedelta(hours=1)).definition,
        Every(timedelta(minutes=60)).definition,
    }
    assert definitions == {"0 3 * * mon UTC", "0 3 * * mon Europe/Berlin", "every 3600 s"}


@pytest.mark.parametrize(
    "schedule", [Cron.parse("0 3 * * mon", BERLIN), Every(timedelta(days=3)), Every(timedelta(seconds=1.000001))]
)
def test_a_schedule_is_found_again_by_its_definition(schedule: Cron | Every) -> None:
    assert schedule_of(schedule.definition) == schedule


def test_a_fire_time_is_read_by_its_own_clock() -> None:
    fire_time = at("2030-06-01 22:30")
    assert Cron.parse("30 0 * * *", BERLIN).at(fire_time).isoformat() == "2030-06-02T00:30:00+02:00"
    assert Every(timedelta(hours=1)).at(fire_time).isoformat() == "2030-06-01T22:30:00+00:00"
