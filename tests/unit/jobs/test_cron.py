"""When repeating jobs fire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.errors import DeclarationError
from roadworthy.jobs.cron import Cron, Every


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


def test_an_expression_that_was_not_parsed_says_so() -> None:
    nothing: frozenset[int] = frozenset()
    with pytest.raises(DeclarationError, match=r"Cron\.parse"):
        Cron("?", nothing, nothing, nothing, nothing, nothing, either_day=False).after(at("2030-01-01 00:00"))


@given(seconds=st.integers(1, 10**7), moment=_moments)
def test_every_is_aligned_to_the_epoch(seconds: int, moment: datetime) -> None:
    every = Every(timedelta(seconds=seconds))
    before, after = every.before(moment), every.after(moment)
    assert before <= moment < after
    assert after - before == every.interval
    assert int(before.timestamp()) % seconds == 0
