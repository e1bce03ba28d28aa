"""Windows of calls and of time, beside sums made anew."""

from __future__ import annotations

from hypothesis import given, settings, strategies

from roadworthy.resilience.windows import FAILED, SLOW, CountWindow, TimeWindow

CALLS = strategies.lists(
    strategies.tuples(strategies.integers(0, 12), strategies.sampled_from([0, FAILED, SLOW, FAILED | SLOW])),
    max_size=60,
)


def test_a_second_begins_with_its_first_moment() -> None:
    window = TimeWindow(2, 10.25)
    window.add(FAILED, 10.75)
    window.add(SLOW, 11.0)

    window.advance(12.0)

    assert (window.calls, window.failures, window.slow) == (1, 0, 1)


@given(size=strategies.integers(1, 6), calls=CALLS)
@settings(max_examples=100, deadline=None)
def test_a_window_of_time_holds_the_calls_of_its_seconds(size: int, calls: list[tuple[int, int]]) -> None:
    now = 1000.0
    window = TimeWindow(size, now)
    made: list[tuple[float, int]] = []
    for quarters, outcome in calls:
        now += quarters / 4
        window.add(outcome, now)
        made.append((now, outcome))
        held = [outcome for at, outcome in made if int(at) > int(now) - size]
        assert window.calls == len(held)
        assert window.failures == sum(outcome & FAILED for outcome in held)
        assert window.slow == sum(outcome >> 1 for outcome in held)


@given(size=strategies.integers(1, 6), calls=CALLS)
@settings(max_examples=100, deadline=None)
def test_a_window_of_calls_holds_the_last_ones(size: int, calls: list[tuple[int, int]]) -> None:
    window = CountWindow(size)
    for position, (_, outcome) in enumerate(calls):
        window.add(outcome, 0.0)
        held = [outcome for _, outcome in calls[max(position + 1 - size, 0) : position + 1]]
        assert window.calls == len(held)
        assert window.failures == sum(outcome & FAILED for outcome in held)
        assert window.slow == sum(outcome >> 1 for outcome in held)
