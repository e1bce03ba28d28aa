"""Where claims begin: never past a job for good, and past what was claimed once that is slow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from roadworthy.jobs.frontier import Frontier, Place

START = datetime(2030, 1, 1, tzinfo=UTC)
SLOW, DEAR = 0.02, 1.0


def place(priority: int, n: int) -> Place:
    return (priority, START + timedelta(seconds=n), n)


def within(frontier: Frontier, now: float, one: Place) -> bool:
    """Whether a claim now would come upon a job at a place."""
    spans = frontier.spans(now)
    return spans is None or any(after < one and one[0] < below for after, below in spans)


def test_a_quick_claim_is_always_from_the_beginning() -> None:
    frontier = Frontier()
    frontier.claimed_whole(0.0, 0.001, [place(0, 1)])
    assert frontier.spans(0.0) is None


def test_after_a_slow_claim_the_next_ones_begin_where_it_ended() -> None:
    frontier = Frontier()
    frontier.claimed_whole(0.0, SLOW, [place(0, 1), place(0, 2), place(5, 3)])
    frontier.claimed([place(5, 4)])
    assert not within(frontier, 0.1, place(0, 2))
    assert within(frontier, 0.1, place(0, 3))
    assert not within(frontier, 0.1, place(5, 4))
    assert within(frontier, 0.1, place(5, 5))
    assert within(frontier, 0.1, place(-3, 1)), "a better priority"
    assert within(frontier, 0.1, place(3, 1)), "a priority between"
    assert within(frontier, 0.1, place(9, 1)), "a lesser priority"
    assert frontier.spans(9 * SLOW) is None, "a tenth of the time is spent on claims from the beginning"


def test_what_a_priority_had_is_remembered_after_it_is_used_up() -> None:
    frontier = Frontier()
    frontier.claimed_whole(0.0, SLOW, [place(0, 1)])
    frontier.claimed_whole(1.0, SLOW, [place(1, 2)])
    assert not within(frontier, 1.1, place(0, 1))
    assert not within(frontier, 1.1, place(1, 2))


def test_what_comes_back_is_looked_for_at_once_unless_that_is_dear() -> None:
    for took, at_once in ((SLOW, True), (DEAR, False)):
        frontier = Frontier()
        frontier.claimed_whole(0.0, took, [place(0, 1)])
        frontier.returned()
        assert (frontier.spans(0.0) is None) is at_once
        assert frontier.dear is not at_once
        assert frontier.spans(10.0) is None


def test_dear_claims_take_a_hundredth_of_the_time_but_come_every_ten_seconds_or_take_a_tenth() -> None:
    for took, rest in ((0.03, 2.97), (0.5, 10.0), (2.0, 18.0)):
        frontier = Frontier()
        frontier.claimed_whole(0.0, took, [place(0, 1)])
        assert frontier.spans(rest - 0.01) is not None
        assert frontier.spans(rest) is None


def test_many_priorities_are_not_remembered() -> None:
    frontier = Frontier()
    frontier.claimed_whole(0.0, SLOW, [place(n, n) for n in range(100)])
    assert frontier.spans(0.0) is None


@given(
    claims=st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from([0.0, SLOW, DEAR]),
            st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 50)), max_size=5),
        ),
        max_size=10,
    ),
    job=st.tuples(st.integers(-2, 2), st.integers(0, 50)),
)
def test_no_job_is_missed_for_good_wherever_it_lies(
    claims: list[tuple[bool, float, list[tuple[int, int]]]], job: tuple[int, int]
) -> None:
    frontier, now, one = Frontier(), 0.0, place(*job)
    for whole, took, found in claims:
        places = sorted(place(*at) for at in found)
        if frontier.spans(now) is None or whole:
            frontier.claimed_whole(now, took, places)
        else:
            frontier.claimed(places)
            frontier.returned()
        spans = frontier.spans(now)
        if spans is not None:
            ends = [below for _, below in spans]
            assert ends == sorted(ends)
            assert all(after[0] < below for after, below in spans)
        now += 0.01
    assert within(frontier, now + 10.0, one)
