from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy import minutes, seconds
from roadworthy.scaling.desired import RecentMean, desired_workers


@pytest.mark.parametrize(
    ("waiting", "running", "mean", "target", "slots", "expected"),
    [
        (0, 0, None, 30, 10, 0),
        (0, 1, 1.0, 30, 10, 1),
        (0, 11, 1.0, 30, 10, 2),
        (10, 0, 1.0, 30, 10, 1),
        (10_000, 0, 0.001, 30, 10, 1),  # ten of a second are as much work as ten thousand of a millisecond
        (3000, 10, 1.0, 30, 10, 11),
        (3, 0, 0.1, 0.3, 1, 1),  # exact, where floating point would say 2
        (25, 5, None, 30, 10, 3),
        (10**12, 0, 3600.0, 0.001, 1, 2**31 - 1),
    ],
)
def test_desired(waiting: int, running: int, mean: float | None, target: float, slots: int, expected: int) -> None:
    duration = None if mean is None else seconds(mean)
    assert expected == desired_workers(
        waiting=waiting, running=running, mean_duration=duration, target_latency=seconds(target), slots=slots
    )


@given(st.integers(0, 10**6), st.integers(0, 1000), st.timedeltas(timedelta(0), timedelta(hours=1)))
def test_more_to_do_never_needs_fewer(waiting: int, running: int, mean: timedelta) -> None:
    def desired(waiting: int, running: int) -> int:
        return desired_workers(
            waiting=waiting, running=running, mean_duration=mean, target_latency=seconds(30), slots=10
        )

    assert desired(waiting, running) <= desired(waiting + 1, running)
    assert desired(waiting, running) <= desired(waiting, running + 1)


def test_the_mean_is_of_what_ended_lately() -> None:
    mean = RecentMean(minutes(5))
    assert mean.update(1000, 0, 0.0) is None
    assert mean.update(1010, 10, 100.0) == seconds(10)
    assert mean.update(1100, 20, 110.0) == seconds(5.5)
    assert mean.update(1310, 20, 110.0) == seconds(1), "the first ten have left the window"
    assert mean.update(9999, 20, 110.0) == seconds(1), "nothing newer is known"
    assert mean.update(10_000, 21, 117.0) == seconds(7)
    assert mean.update(10_001, 5, 3.0) == seconds(7), "a total that fell says nothing"
