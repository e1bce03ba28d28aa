"""The job that keeps the latest metrics fresh."""

from __future__ import annotations

import time

from roadworthy import minutes, seconds
from vitals.reading import latest
from vitals.service import database, latest_metrics_lag, latest_metrics_refreshes, latest_metrics_seconds, upkeep


@upkeep.job(every=seconds(5), timeout=minutes(10), attempts=1)
async def refresh_latest_metrics() -> None:
    """Refresh the latest metrics if something changed and it is time."""
    began = time.perf_counter()
    try:
        outcome = await latest.refresh(database)
    except Exception:
        latest_metrics_refreshes.inc(outcome="failed")
        raise
    if outcome == "refreshed":
        latest_metrics_refreshes.inc(outcome="refreshed")
        latest_metrics_seconds.observe(time.perf_counter() - began)
    latest_metrics_lag.set((await latest.freshness(database)).lag.total_seconds())
