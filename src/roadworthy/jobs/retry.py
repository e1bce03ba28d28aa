"""When a failed attempt is followed by another."""

from __future__ import annotations

from datetime import timedelta

from roadworthy.jobs.spec import Backoff


def delay_after(backoff: Backoff, attempt: int, jitter: float) -> timedelta:
    """Return how long a job waits after its failed `attempt` (from 1).

    `jitter` is a random number from 0 up to 1: 0 gives the shortest delay that `backoff` allows, 0.5 the middle.
    """
    longest = backoff.longest.total_seconds()
    try:
        middle = min(backoff.base.total_seconds() * backoff.factor ** (attempt - 1), longest)
    except OverflowError:
        middle = longest
    return timedelta(seconds=min(middle * (1 + backoff.jitter * (2 * jitter - 1)), longest))
