"""How long a failed job waits."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from roadworthy.jobs.retry import delay_after
from roadworthy.jobs.spec import Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(base=timedelta(seconds=2), factor=2, longest=timedelta(seconds=9), jitter=0)
    assert [delay_after(backoff, attempt, 0.9).total_seconds() for attempt in range(1, 6)] == [2, 4, 8, 9, 9]


def test_jitter_spreads_around_the_middle() -> None:
    backoff = Backoff(base=timedelta(seconds=100), jitter=0.25)
    assert [delay_after(backoff, 1, jitter).total_seconds() for jitter in (0.0, 0.5, 1.0)] == [75, 100, 125]


@given(attempt=st.integers(1, 10**6), jitter=st.floats(0, 1, exclude_max=True))
def test_no_delay_is_longer_than_the_longest_or_negative(attempt: int, jitter: float) -> None:
    backoff = Backoff()
    assert timedelta(0) <= delay_after(backoff, attempt, jitter) <= backoff.longest
