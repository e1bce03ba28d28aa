from __future__ import annotations

from roadworthy.health.lag import LoopLag


def wakes(lag: LoopLag, count: int, late: float, start: float = 0.0) -> float:
    """Have the loop wake somebody so often, each time so late; return the time."""
    now = start
    for _ in range(count):
        due = now + 1.0
        now = due + late
        lag.note(due, now)
    return now


def test_a_loop_that_is_late_every_time_for_long_lags() -> None:
    lag = LoopLag()
    now = wakes(lag, 10, 1.5)
    assert lag.lagging_for(now) is None, "25 s are not long enough"
    now = wakes(lag, 3, 1.5, now)
    lagged = lag.lagging_for(now)
    assert lagged is not None
    assert 30 <= lagged < 33


def test_a_loop_that_is_late_now_and_then_does_not() -> None:
    lag, now = LoopLag(), 0.0
    for _ in range(30):
        now = wakes(lag, 4, 1.5, now)
        now = wakes(lag, 1, 0.1, now)
        assert lag.lagging_for(now) is None


def test_it_keeps_up_again_with_one_wake_up_in_time() -> None:
    lag = LoopLag()
    now = wakes(lag, 30, 2.0)
    assert lag.lagging_for(now) is not None
    now = wakes(lag, 1, 0.0, now)
    assert lag.lagging_for(now) is None


def test_a_machine_that_slept_is_no_loop_that_lags() -> None:
    lag = LoopLag()
    now = wakes(lag, 1, 3600.0)
    assert lag.lagging_for(now) is None
    assert lag.worst(now) == 3600.0


def test_the_worst_is_forgotten_after_the_window() -> None:
    lag = LoopLag()
    now = wakes(lag, 1, 5.0)
    now = wakes(lag, 20, 0.25, now)
    assert lag.worst(now) == 5.0
    now = wakes(lag, 10, 0.25, now)
    assert lag.worst(now) == 0.25
    assert lag.worst(now + 60) == 0.0
    assert LoopLag().worst(0.0) == 0.0
