"""The expected numbers follow from Kubernetes' documentation of the algorithm and the rules of its calculator."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.scaling.replicas import (
    InvalidMetric,
    Pod,
    Sample,
    Tolerances,
    for_average_value,
    for_pods,
    for_utilization,
    for_value,
)

TENTH = Tolerances(0.1, 0.1)
INT32 = 2**31 - 1
NOW = 10_000.0


@pytest.mark.parametrize(
    ("total", "target", "replicas", "expected"),
    [
        (8600, 4400, 3, 2),
        (13_200, 4400, 3, 3),
        (30_000, 10_000, 2, 3),
        (22_000, 10_000, 2, 2),  # 1.1 is within
        (22_001, 10_000, 2, 3),
        (18_000, 10_000, 2, 2),  # 0.9 is within
        (17_999, 10_000, 2, 2),  # not within, but rounded up
        (9_999, 10_000, 2, 1),
        (0, 10_000, 5, 0),
        (0, 10_000, 0, 0),  # 0 / 0 is not a number, and within no tolerance
        (1, 10_000, 0, 1),  # 1 / 0 is infinite
        (-5000, 10_000, 0, 0),
        (10**30, 1, 7, INT32),
    ],
)
def test_average_value(total: int, target: int, replicas: int, expected: int) -> None:
    assert for_average_value(total, target, replicas, TENTH) == expected


@pytest.mark.parametrize(
    ("value", "target", "replicas", "ready", "expected"),
    [
        (200, 100, 3, 3, 6),
        (50, 100, 4, 4, 2),
        (200, 100, 3, 2, 4),  # only the ready are multiplied
        (105, 100, 3, 1, 3),  # within: as many as are wanted
        (110, 100, 3, 1, 3),
        (111, 100, 3, 3, 4),
        (90, 100, 3, 1, 3),
        (89, 100, 3, 3, 3),
        (0, 100, 3, 3, 0),
        (0, 100, 0, 0, 0),
        (250, 100, 0, 0, 3),  # from zero: the ratio itself
        (10**30, 1, 5, 5, INT32),
    ],
)
def test_value(value: int, target: int, replicas: int, ready: int, expected: int) -> None:
    assert for_value(value, target, replicas, ready, TENTH) == expected


def test_each_direction_has_its_own_tolerance() -> None:
    exact_up = Tolerances(0.5, 0.0)
    assert for_value(100, 100, 4, 4, exact_up) == 4
    assert for_value(101, 100, 4, 4, exact_up) == 5
    assert for_value(50, 100, 4, 4, exact_up) == 4
    assert for_value(49, 100, 4, 4, exact_up) == 2


def pods(*values: int | None, **same: object) -> list[Pod]:
    made = [
        Pod(f"pod-{number}", sample=None if value is None else Sample(value, NOW, 60), request=1000)
        for number, value in enumerate(values)
    ]
    return [replace(pod, **same) for pod in made]  # type: ignore[arg-type]


PENDING = Pod("pending", "Pending", request=1000)


@pytest.mark.parametrize(
    ("some", "target", "replicas", "expected"),
    [
        (pods(20_000, 10_000, 30_000), 15_000, 3, 4),
        (pods(20, 20, 20), 10, 3, 6),
        (pods(10, 11), 10, 2, 2),  # the mean, 10.5, loses its fraction
        (pods(10, 10), 10, 5, 5),  # within: as many as are wanted
        (pods(2, 3), 10, 2, 1),
        (pods(20, None), 10, 2, 2),  # the silent one counts as 0 upwards: 10 is no more than wanted
        (pods(60, None), 10, 2, 6),
        (pods(2, None), 10, 2, 2),  # and as the target downwards: 6, so ceil(0.6 × 2)
        (pods(1, 1, 1, 1, None), 10, 5, 1),  # (4 + 10) / 5 loses its fraction
        (pods(10, None), 10, 2, 2),  # exactly at its target: nothing is assumed
        ([*pods(20), PENDING], 10, 2, 2),  # one that is not ready counts as 0 upwards
        ([*pods(60), PENDING], 10, 2, 6),
        ([*pods(2), PENDING], 10, 2, 1),  # and not at all downwards
        ([*pods(15), PENDING, replace(PENDING, name="other")], 10, 3, 3),  # turned about: no change
        (pods(30, None, None, None, None), 10, 1, 1),  # 0.6: turned about
        (pods(12, None), 10, 1, 1),
        (pods(2, 2, None), 10, 1, 1),  # ceil(0.4 × 3) is 2: against the direction
        (pods(25, None), 10, 5, 5),  # ceil(1.2 × 2) is 3: against the direction
        ([*pods(20, 20), replace(pods(900)[0], name="gone", deleted=True)], 10, 2, 4),
        ([*pods(20, 20), replace(pods(900)[0], name="pending", phase="Pending")], 10, 3, 4),  # its sample is dropped
        ([*pods(5, 5), replace(pods(900)[0], name="pending", phase="Pending")], 10, 3, 1),
        (pods(2**62, 2**62, 2**62), 2**40, 3, 2**23),  # sums end at 2**63 - 1: a third of it in 2**40, times three
        ([*pods(20, 20), replace(pods(900)[0], name="failed", phase="Failed")], 10, 2, 4),
    ],
)
def test_pods(some: list[Pod], target: int, replicas: int, expected: int) -> None:
    assert for_pods(some, target, replicas, TENTH, now=NOW) == expected


@pytest.mark.parametrize("some", [[], pods(None, None), [PENDING], pods(5, deleted=True)])
def test_pods_without_a_sample_that_counts_say_nothing(some: list[Pod]) -> None:
    with pytest.raises(InvalidMetric, match="has a sample"):
        for_pods(some, 10, 2, TENTH, now=NOW)


@pytest.mark.parametrize(
    ("some", "percent", "replicas", "expected"),
    [
        (pods(300, 500, 700), 30, 3, 5),  # 50 % of 30 %
        (pods(900, 900), 60, 2, 3),
        (pods(500, 501), 50, 2, 2),  # 50.05 % loses its fraction
        (pods(100, 200), 50, 2, 1),
        (pods(600, 600, None), 50, 3, 3),  # upwards, the silent one uses nothing: 40 % turns about
        (pods(2000, 1000, None), 50, 3, 6),
        (pods(100, 100, None), 50, 3, 3),  # downwards, all of its request: 40 %, so ceil(0.8 × 3)
        (pods(100, 100, 100, 100, None), 50, 5, 3),
        (pods(500, None), 150, 2, 2),  # or the target, where that is more: (50 + 150) / 2 of 150
        (pods(-700, -700), 50, 2, -2),
    ],
)
def test_utilization(some: list[Pod], percent: int, replicas: int, expected: int) -> None:
    assert for_utilization(some, percent, replicas, TENTH, now=NOW) == expected


def test_utilization_needs_requests() -> None:
    with pytest.raises(InvalidMetric, match="'pod-0' requests nothing"):
        for_utilization(pods(5, request=None), 50, 1, TENTH, now=NOW)
    with pytest.raises(InvalidMetric, match="a request above 0"):
        for_utilization(pods(5, request=0), 50, 1, TENTH, now=NOW)


STARTING = Pod("starting", request=1000, sample=Sample(3000, NOW, 30))


@pytest.mark.parametrize(
    ("pod", "counts"),
    [
        (replace(STARTING, ready=None), False),
        (replace(STARTING, started_at=None), False),
        # Within the initialisation period of five minutes:
        (replace(STARTING, started_at=NOW - 299, ready_since=NOW - 30), True),
        (replace(STARTING, started_at=NOW - 299, ready_since=NOW - 29), False),  # half its sample is from before
        (replace(STARTING, started_at=NOW - 299, ready_since=NOW - 200, ready="False"), False),
        (replace(STARTING, started_at=NOW - 299, ready_since=NOW - 200, ready="Unknown"), True),
        # And after it, where only one that has never been ready is left out:
        (replace(STARTING, started_at=NOW - 300, ready_since=NOW - 29), True),
        (replace(STARTING, started_at=NOW - 300, ready_since=NOW - 271, ready="False"), False),
        (replace(STARTING, started_at=NOW - 300, ready_since=NOW - 270, ready="False"), True),
    ],
)
def test_a_starting_pod_is_left_out_for_cpu_alone(pod: Pod, counts: bool) -> None:
    some = [*pods(900), pod]
    # Counted, both are at 195 % of 50 %: eight. Left out, it uses nothing upwards: 45 % of 50 %, turned about.
    assert for_utilization(some, 50, 2, TENTH, now=NOW) == (8 if counts else 2)
    assert for_utilization(some, 50, 2, TENTH, now=NOW, cpu=False) == 8


samples = st.lists(st.none() | st.integers(0, 10_000), min_size=1, max_size=12)


@given(samples, st.integers(1, 10_000), st.integers(1, 12))
def test_pods_never_move_against_what_they_measure(values: list[int | None], target: int, replicas: int) -> None:
    known = [value for value in values if value is not None]
    if not known:
        return
    wanted = for_pods(pods(*values), target, replicas, TENTH, now=NOW)
    assert wanted >= 0
    if len(known) < len(values):
        # With something missing, a result on the wrong side of what there is would be a guess.
        mean = sum(known) // len(known)
        assert wanted >= replicas or mean < target
        assert wanted <= replicas or mean > target


@given(st.integers(0, 2**63), st.integers(1, 2**40), st.integers(0, 1000))
def test_average_value_is_the_least_that_suffices(total: int, target: int, replicas: int) -> None:
    wanted = for_average_value(total, target, replicas, Tolerances(0.0, 0.0))
    assert 0 <= wanted <= INT32
    if total < 2**52 and wanted < INT32:
        assert (wanted - 1) * target < total <= wanted * target or wanted == total == 0
