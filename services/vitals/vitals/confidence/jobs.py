"""The jobs that keep confidences right."""

from __future__ import annotations

from roadworthy import current_job, minutes, seconds
from vitals.confidence.calculate import QUERIES, calculate
from vitals.service import confidence, confidence_lag, database, mean_confidence, upkeep


@confidence.job(timeout=seconds(60))
async def calculate_confidences(users: list[int]) -> None:
    """Calculate the confidences of users; once that failed, each goes on alone, so that one harms no other.

    Enqueued when they become stale, so there is one calculation for a burst of a user's events.
    """
    job = current_job()
    if job is not None and job.attempt > 1 and len(users) > 1:
        await calculate_confidences.enqueue_many({"users": [user]} for user in users)
        return
    await calculate(database, users)


@upkeep.job(every=minutes(1), timeout=minutes(1))
async def measure_confidence() -> None:
    """Tell the metrics how far the sources can be trusted on the whole, and how old that is."""
    row = await database.fetchrow(QUERIES["measure"])
    assert row is not None  # noqa: S101 (a statement without FROM has a row)  # nosec B101
    mean_confidence.set(row["mean"])
    confidence_lag.set(row["lag"])
