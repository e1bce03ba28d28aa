from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from roadworthy import seconds
from roadworthy.runtime.restart import RestartPolicy

POLICY = RestartPolicy(base=seconds(0.5), longest=seconds(30), jitter=0.25, stable=seconds(60))


def test_failures_in_a_row_wait_longer_up_to_the_longest() -> None:
    waits = [POLICY.delay(failures, lambda: 0.0).total_seconds() for failures in range(1, 9)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_stable_run_forgives_earlier_failures() -> None:
    assert POLICY.failures(6, seconds(59)) == 7
    assert POLICY.failures(6, seconds(60)) == 1


@given(failures=st.integers(1, 10**9), draw=st.floats(0, 1, exclude_max=True))
def test_jitter_only_shortens_and_by_no_more_than_its_share(failures: int, draw: float) -> None:
    full = POLICY.delay(failures, lambda: 0.0)
    jittered = POLICY.delay(failures, lambda: draw)
    assert full * 0.75 - timedelta(microseconds=1) <= jittered <= full <= POLICY.longest
