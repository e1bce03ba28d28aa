from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.edge.pace import Allowance, Patience, TokenBucket
from roadworthy.errors import DeclarationError


def test_a_bucket_lets_a_burst_through_and_then_keeps_the_rate() -> None:
    bucket = TokenBucket(Allowance(2, 3), 0)
    for _ in range(3):
        assert bucket.ready_at(0) == 0
        bucket.spend(0)
    assert bucket.ready_at(0) == 0.5
    assert bucket.ready_at(0.25) == 0.5
    assert bucket.ready_at(100) == 100


@given(st.lists(st.floats(0, 5), max_size=200), st.floats(0.1, 20), st.integers(1, 10))
def test_no_stretch_of_time_sees_more_calls_than_allowed(gaps: list[float], rate: float, burst: int) -> None:
    bucket = TokenBucket(Allowance(rate, burst), 0)
    now, calls = 0.0, []
    for gap in gaps:
        now = max(now + gap, bucket.ready_at(now + gap))
        bucket.spend(now)
        calls.append(now)
    for first in range(0, len(calls), 7):
        for last in range(first, len(calls)):
            assert last - first + 1 <= burst + (calls[last] - calls[first]) * rate + 1e-6


def test_delays_double_up_to_the_longest_and_jitter_takes_from_all_of_it() -> None:
    patience = Patience(first=1, longest=60)
    assert [patience.delay(attempt, 1.0) for attempt in (1, 2, 3, 7, 5000)] == [1, 2, 4, 60, 60]
    assert patience.delay(3, 0.25) == 1
    assert patience.delay(3, 0) == 0


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (20_000, 1), (1, 0)])
def test_an_allowance_that_allows_nothing_is_refused(rate: float, burst: int) -> None:
    with pytest.raises(DeclarationError, match="an allowance has"):
        Allowance(rate, burst)
