from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy import minutes, seconds
from roadworthy.scaling.algorithm import Decision, History, Proposal, combined, sync
from roadworthy.scaling.spec import Behaviour, MetricTarget, Policy, Rules, ScalingSpec, Select, down, up

TARGETS = (MetricTarget("demand", "AverageValue", 1000),)
AT_ONCE = Behaviour(down=down(window=timedelta(0)))


def scaling(fewest: int, most: int, behaviour: Behaviour | None = AT_ONCE) -> ScalingSpec:
    return ScalingSpec(fewest, most, TARGETS, behaviour)


def asked(*replicas: int | None) -> list[Proposal]:
    return [Proposal(f"m{number}", count, "" if count is not None else "gone") for number, count in enumerate(replicas)]


class Replicas:
    """A number under control, over a virtual clock."""

    def __init__(self, spec: ScalingSpec, count: int) -> None:
        self.spec = spec
        self.count = count
        self.now = 0.0
        self.history = History()
        self.last: Decision | None = None

    def sync(self, *wanted: int | None, after: float = 15.0) -> int:
        self.now += after
        self.last = sync(self.spec, self.history, self.count, asked(*wanted), self.now)
        self.history = self.last.history
        self.count = self.last.replicas
        return self.count


@pytest.mark.parametrize(
    ("proposals", "current", "replicas"),
    [
        ([3], 2, 3),
        ([3, 7, 5], 2, 7),
        ([0, 0], 2, 0),
        ([None, 5], 5, 5),
        ([None, 6], 5, 6),  # those that say something may add
        ([None, 4], 5, None),  # and never take away
        ([None, None], 5, None),
        ([], 5, None),
    ],
)
def test_several_metrics(proposals: Sequence[int | None], current: int, replicas: int | None) -> None:
    assert combined(asked(*proposals), current).replicas == replicas


def test_the_first_error_is_told() -> None:
    assert combined(asked(None, 4, None), 5).error == "2 of 3 metrics say nothing; m0: gone"


@pytest.mark.parametrize(
    ("fewest", "current", "wanted", "expected", "reason"),
    [
        (1, 0, 5, 0, "scaling is disabled"),
        (0, 0, 5, 4, "m0 above target, limited"),
        (0, 3, 0, 0, "all metrics below target"),
        (1, 3, 0, 1, "all metrics below target, limited"),
        (1, 12, 3, 10, "above the maximum"),
        (2, 1, 9, 2, "below the minimum"),
        (1, 4, 4, 4, "all metrics at target"),
        (1, 4, 6, 6, "m0 above target"),
        (1, 8, 20, 10, "m0 above target, limited"),
        (1, 4, None, 4, "1 of 1 metrics say nothing"),
        (1, 4, -3, 1, "all metrics below target, limited"),
    ],
)
@pytest.mark.parametrize("behaviour", [AT_ONCE, None])
def test_one_sync(
    fewest: int, current: int, wanted: int | None, expected: int, reason: str, behaviour: Behaviour | None
) -> None:
    decision = sync(scaling(fewest, 10, behaviour), History(((-1000.0, 0),)), current, asked(wanted), 0.0)
    assert decision.replicas == expected
    assert decision.reason.startswith(reason)


@pytest.mark.parametrize(
    ("kind", "value", "current", "highest"),
    [
        ("Pods", 4, 3, 7),
        ("Percent", 10, 100, 111),  # 110.00000000000001, rounded up
        ("Percent", 100, 3, 6),
        ("Percent", 1, 1, 2),  # always at least one
        ("Percent", 50, 0, 0),
        ("Percent", 15, 20, 23),
        ("Percent", 30, 10, 13),
        ("Percent", 2**31 - 1, 2**31 - 1, 2**31 - 1),
    ],
)
def test_how_far_up_a_policy_goes(kind: str, value: int, current: int, highest: int) -> None:
    rules = Rules((Policy(kind, value, seconds(60)),))  # type: ignore[arg-type]
    spec = scaling(0, 2**31 - 1, Behaviour(up=rules))
    assert sync(spec, History(), current, asked(2**31 - 1), 0.0).replicas == highest


@pytest.mark.parametrize(
    ("kind", "value", "current", "lowest"),
    [
        ("Pods", 4, 10, 6),
        ("Pods", 40, 10, 0),
        ("Percent", 90, 30, 2),  # 2.9999999999999996, cut off
        ("Percent", 10, 100, 90),
        ("Percent", 10, 80, 72),
        ("Percent", 10, 5, 4),
        ("Percent", 100, 7, 0),
        ("Percent", 300, 7, 0),
    ],
)
def test_how_far_down_a_policy_goes(kind: str, value: int, current: int, lowest: int) -> None:
    rules = Rules((Policy(kind, value, seconds(60)),))  # type: ignore[arg-type]
    replicas = Replicas(scaling(0, 1000, Behaviour(down=rules)), current)
    replicas.history = History(((-1.0, 0),))
    assert replicas.sync(0) == lowest


FOUR_OR_TENTH = (Policy("Pods", 4, seconds(60)), Policy("Percent", 10, seconds(60)))


def test_the_example_of_the_documentation() -> None:
    """From 80 replicas, 10 % or 4 pods a minute: 8, 8 (of 72), ... while a tenth is more than four."""
    replicas = Replicas(scaling(10, 100, Behaviour(down=Rules(FOUR_OR_TENTH))), 80)
    replicas.history = History(((-1.0, 0),))
    path = [replicas.sync(10, after=60) for _ in range(12)]
    assert path == [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16]


@pytest.mark.parametrize(("select", "higher", "lower"), [("Max", 110, 90), ("Min", 104, 96), ("Disabled", 100, 100)])
def test_which_policy_counts(select: Select, higher: int, lower: int) -> None:
    both = (Policy("Pods", 4, seconds(60)), Policy("Pods", 10, seconds(60)))
    spec = scaling(0, 1000, Behaviour(Rules(both, select=select), Rules(both, select=select)))
    assert sync(spec, History(), 100, asked(1000), 0.0).replicas == higher
    assert sync(spec, History(((-1.0, 0),)), 100, asked(0), 0.0).replicas == lower


def test_a_policy_counts_from_the_start_of_its_period() -> None:
    rules = Rules((Policy("Pods", 4, seconds(60)),))
    replicas = Replicas(scaling(1, 100, Behaviour(rules, rules)), 10)
    assert replicas.sync(12) == 12
    assert replicas.sync(50) == 14, "two were added within the minute, two are left"
    assert replicas.sync(50) == 14
    assert replicas.sync(50) == 14
    assert replicas.sync(50) == 16, "the first two are exactly a minute ago, and forgotten"
    assert replicas.sync(1) == 10, "four fewer than the 14 of a minute ago"
    assert replicas.sync(1) == 10


@pytest.mark.parametrize(("wanted", "moved"), [(50, (16, 17)), (1, (4, 3))])
def test_more_than_a_policy_allows_was_changed_already_and_nothing_is_turned_back(
    wanted: int, moved: tuple[int, int]
) -> None:
    """Six within the minute of four allowed: the limit is what there is; it counts from further off a minute later."""
    rules = Rules((Policy("Pods", 4, seconds(60)),))
    spec = scaling(1, 100, Behaviour(rules, rules))
    current, change = (12, 6) if wanted > 10 else (8, -6)
    history = History(((-1000.0, 0),), ((0.0, change),))
    assert sync(spec, history, current, asked(wanted), 30.0).replicas == current
    assert sync(spec, history, current, asked(wanted), 60.0).replicas == moved[0]
    limits = Rules((Policy("Pods", 4, seconds(60)), Policy("Pods", 5, seconds(120))))
    both = scaling(1, 100, Behaviour(limits, limits))
    assert sync(both, history, current, asked(wanted), 60.0).replicas == moved[0], "the larger change of the two"
    assert sync(both, History(), current, asked(wanted), 60.0).replicas == moved[1], "had nothing been changed"


@pytest.mark.parametrize(("current", "bound"), [(14, 10), (1, 2)])
def test_what_is_out_of_bounds_goes_back_at_once_and_is_remembered_as_an_event_alone(current: int, bound: int) -> None:
    """Neither metrics, nor windows, nor policies are asked; what the metrics say is not logged."""
    still = Rules((Policy("Pods", 1, seconds(60)),), minutes(5), "Disabled")
    history = History(((-1.0, current),))
    decision = sync(scaling(2, 10, Behaviour(still, still)), history, current, asked(5), 0.0)
    assert decision.replicas == bound
    assert decision.wanted is None
    assert decision.history == History(((-1.0, current),), ((0.0, bound - current),))


def test_the_log_begins_with_what_there_is() -> None:
    decision = sync(scaling(1, 10, Behaviour()), History(), 7, asked(2), 0.0)
    assert decision.replicas == 7
    assert decision.history.recommendations == ((0.0, 7), (0.0, 2)), "and goes on with what was asked for"


def test_a_change_and_nothing_else_is_an_event() -> None:
    replicas = Replicas(scaling(1, 10), 3)
    replicas.sync(3)
    assert replicas.history.events == ()
    replicas.sync(5)
    assert [change for _, change in replicas.history.events] == [2]


def test_an_hour_ago_is_forgotten() -> None:
    replicas = Replicas(scaling(1, 1000), 1)
    for number in range(300):
        replicas.sync(1 + number % 7)
    assert len(replicas.history.recommendations) <= 2
    assert len(replicas.history.events) <= 2


def test_downwards_waits_for_the_window() -> None:
    replicas = Replicas(scaling(1, 10, Behaviour()), 1)
    assert replicas.sync(8) == 5
    assert replicas.sync(8) == 8
    for _ in range(19):
        assert replicas.sync(1) == 8
    assert replicas.last is not None
    assert replicas.last.reason == "all metrics below target, held back by earlier recommendations"
    assert replicas.sync(1) == 1


def test_upwards_may_wait_too() -> None:
    replicas = Replicas(scaling(1, 10, Behaviour(up=up(window=minutes(1)))), 2)
    assert [replicas.sync(3, after=20) for _ in range(3)] == [2, 2, 2]
    assert replicas.sync(3, after=20) == 3, "the seed of the log has left the window"


def test_both_windows_at_once_keep_the_number_where_they_disagree() -> None:
    replicas = Replicas(scaling(1, 10, Behaviour(up(window=minutes(1)), down(window=minutes(1)))), 5)
    assert {replicas.sync(9 if number % 2 else 1) for number in range(20)} == {5}


def test_without_a_behaviour_the_highest_of_five_minutes_counts() -> None:
    replicas = Replicas(scaling(1, 100, None), 1)
    assert replicas.sync(50) == 4, "max(2 × 1, 4)"
    assert replicas.sync(50) == 8
    assert replicas.sync(3) == 16, "what was recommended still counts upwards"
    for _ in range(19):
        replicas.sync(3)
    assert replicas.count == 50
    assert replicas.sync(3) == 3
    assert replicas.history.events == ()


def test_a_metric_that_says_nothing_changes_nothing_and_is_not_remembered() -> None:
    replicas = Replicas(scaling(1, 10), 6)
    replicas.sync(6)
    before = replicas.history
    assert replicas.sync(None) == 6
    assert replicas.history == before


rules = st.builds(
    Rules,
    st.lists(
        st.builds(Policy, st.sampled_from(["Pods", "Percent"]), st.integers(1, 300), st.integers(1, 300).map(seconds)),
        min_size=1,
        max_size=3,
    ).map(tuple),
    st.integers(0, 600).map(seconds),
    st.sampled_from(["Max", "Min", "Disabled"]),
)
behaviours = st.none() | st.builds(Behaviour, rules, rules)


@given(
    behaviours,
    st.integers(0, 5),
    st.integers(5, 50),
    st.integers(0, 60),
    st.lists(st.none() | st.integers(0, 100), max_size=40),
)
def test_the_number_stays_within_bounds_and_never_moves_against_the_metrics(
    behaviour: Behaviour | None, fewest: int, most: int, count: int, path: list[int | None]
) -> None:
    replicas = Replicas(scaling(fewest, most, behaviour), count)
    lowest, highest = count, count
    for wanted in path:
        before = replicas.count
        after = replicas.sync(wanted)
        if before == 0 and fewest:
            assert after == 0
            continue
        assert fewest <= after <= most
        if not fewest <= before <= most or wanted is None:
            assert wanted is not None or after in (before, fewest, most)
            continue
        lowest, highest = min(lowest, wanted), max(highest, wanted)
        if behaviour is not None:
            assert after <= max(before, wanted)
            assert after >= min(before, max(wanted, fewest))
        assert min(lowest, before, most) <= after <= max(highest, before, fewest)


def test_ten_times_the_load_reaches_the_bound_within_a_minute_and_returns_after_the_window() -> None:
    replicas = Replicas(scaling(2, 20, Behaviour(up(tolerance=0))), 2)
    replicas.sync(2)
    path = [replicas.sync(20) for _ in range(4)]
    assert path == [6, 12, 20, 20]
    began = replicas.now
    while replicas.count > 2 and replicas.now < began + 3600:
        replicas.sync(2)
    assert replicas.now - began == 300


def test_noise_for_an_hour_does_not_make_it_flap() -> None:
    """A load that swings about 10 by ± 40 %, in several rhythms at once."""
    replicas = Replicas(scaling(1, 40, Behaviour(up(tolerance=0))), 10)
    path = []
    for number in range(240):
        swing = 0.25 * math.sin(number * 0.9) + 0.15 * math.sin(number * 2.3)
        path.append(replicas.sync(math.ceil(10 * (1 + swing))))
    turns = [(a, b, c) for a, b, c in zip(path, path[1:], path[2:], strict=False) if (b - a) * (c - b) < 0]
    changes = [b - a for a, b in pairwise(path) if b != a]
    assert turns == []
    assert max(path[20:]) - min(path[20:]) <= 1
    assert len(changes) <= 6
