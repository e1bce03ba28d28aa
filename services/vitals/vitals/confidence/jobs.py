"""The jobs that keep confidences right."""

from __future__ import annotations

from roadworthy import minutes, seconds
from vitals.confidence.calculate import QUERIES, calculate
from vitals.service import confidence, database, mean_confidence, upkeep


@confidence.job(timeout=seconds(30))
async def calculate_confidence(user_id: int) -> None:
    """Calculate a user's confidences; enqueued when the user becomes stale, so there is one for a burst of events."""
    await calculate(database, [user_id])


@upkeep.job(every=minutes(1), timeout=minutes(1))
async def measure_confidence() -> None:
    """Tell the metrics how far the sources can be trusted on the whole."""
    mean_confidence.set(await database.fetchval(QUERIES["mean_confidence"]))
