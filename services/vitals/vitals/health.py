"""What Vitals adds to its health report: what its data are worth, whether webhooks are read, how fresh the view is."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy import Reading, load_queries, seconds
from vitals.reading import latest
from vitals.service import database, service

QUERIES = load_queries("vitals", "health.sql")

LEAST_CONFIDENCE = 40
LEAST_SUCCESS = 95
LONGEST_PENDING = seconds(300)


@service.check("confidence", timeout=seconds(2), every=seconds(15), groups=["data"])
async def confidence() -> Sequence[Reading]:
    """Read the mean confidence of the latest metrics; a low one is a warning."""
    row = await database.fetchrow(QUERIES["confidence"])
    if row is None or row["mean"] is None:
        return [Reading("confidence:mean", output="nothing has been measured yet")]
    low = row["mean"] < LEAST_CONFIDENCE
    output = f"below {LEAST_CONFIDENCE}: did sources stop sending?" if low else None
    return [
        Reading("confidence:mean", "warn" if low else "pass", row["mean"], "of 100", output),
        Reading("confidence:metrics", "pass", row["metrics"], "metrics of users"),
    ]


@service.check("webhooks", timeout=seconds(2), groups=["data"])
async def webhooks() -> Sequence[Reading]:
    """Read how many of the latest thousand webhooks could be read, and how long others have waited."""
    row = await database.fetchrow(QUERIES["webhooks"])
    if row is None:
        return []
    readings = []
    finished = row["succeeded"] + row["failed"]
    if finished:
        share = round(100 * row["succeeded"] / finished, 2)
        failing = share < LEAST_SUCCESS
        output = f"below {LEAST_SUCCESS} %: see the failed jobs' reasons" if failing else None
        readings.append(Reading("webhooks:success", "warn" if failing else "pass", share, "%", output))
    late = row["waiting"] > LONGEST_PENDING.total_seconds()
    output = "are the workers of the queue ingestion at work?" if late else None
    readings.append(Reading("webhooks:pending", "pass", row["pending"], "events"))
    readings.append(Reading("webhooks:oldestPending", "warn" if late else "pass", row["waiting"], "s", output))
    return readings


@service.check("latest_metrics", timeout=seconds(2), groups=["data"])
async def latest_metrics() -> Sequence[Reading]:
    """Read how fresh the latest metrics are."""
    found = await latest.freshness(database)
    output = None
    if found.failure is not None:
        output = f"the last {found.failures} refreshes failed: {found.failure}"
    elif found.overdue:
        output = "a refresh is overdue; does the queue upkeep have a worker, and the scheduler run?"
    lag, refreshed = round(found.lag.total_seconds(), 3), found.refreshed_at.isoformat(timespec="milliseconds")
    return [
        Reading("latest_metrics:lag", "warn" if output else "pass", lag, "s", output),
        Reading("latest_metrics:refreshed", "pass", refreshed),
        Reading("latest_metrics:refreshTime", "pass", round(found.took.total_seconds() * 1000, 1), "ms"),
    ]
