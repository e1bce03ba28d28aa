"""How much a worker takes ahead."""

from __future__ import annotations

from typing import Any, cast

from roadworthy.jobs.lane import Held, Lane
from roadworthy.jobs.spec import QueueSpec


def lane_of(concurrency: int = 10) -> Lane:
    return Lane(QueueSpec("work", concurrency=concurrency))


def test_nothing_is_taken_ahead_until_jobs_have_proved_short() -> None:
    lane = lane_of()
    assert lane.appetite() == 10
    lane.running = 9
    assert lane.appetite() == 1
    lane.running = 10
    assert lane.appetite() == 0


def test_short_jobs_are_taken_in_large_batches_and_only_when_half_is_gone() -> None:
    lane = lane_of()
    lane.ran(0.0001)
    assert lane.appetite() == 510
    lane.waiting.extend(cast(Any, [None]) * 300)
    assert lane.appetite() == 0
    lane.waiting.clear()
    lane.waiting.extend(cast(Any, [None]) * 200)
    assert lane.appetite() == 310


def test_long_jobs_are_left_to_whoever_is_free() -> None:
    lane = lane_of()
    lane.ran(2.0)
    assert lane.appetite() == 10


def test_the_pace_follows_the_jobs() -> None:
    lane = lane_of()
    lane.ran(0.0001)
    for _ in range(200):
        lane.ran(1.0)
    assert lane.appetite() == 10
    lane.ran(0.0001)
    lane.slow_down()
    assert lane.appetite() == 10


def test_held_jobs_are_told_apart_by_identity() -> None:
    lane = lane_of()
    one, two = (Held(cast(Any, None), lane, 0.0) for _ in range(2))
    assert one != two


def test_a_free_slot_is_filled_though_little_is_taken_ahead() -> None:
    lane = lane_of()
    lane.ran(0.3)
    lane.running = 6
    assert lane.appetite() == 5
    lane.running = 10
    assert lane.appetite() == 0
