"""What the latest metrics say, remembered in this process and in the store that all share, until they are refreshed.

What is remembered of a user is the same whoever asks, and nothing of who may see it is: the caller has the database
decide that first, each time. So no entry is ever a viewer's, and one whose key was revoked, or whose trainer left,
learns nothing from what others had remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vitals.operating import overview
from vitals.operating.overview import LowQuality, Quality
from vitals.reading.metrics import QUERIES, Badge
from vitals.service import database, latest_metrics

_VIEW = "view"


@dataclass(frozen=True, slots=True)
class LatestMetric:
    """The value of a metric that is to be believed; `measured_at` is until when it speaks."""

    metric: str
    value: float
    unit: str
    source: str
    device: str | None
    started_at: datetime
    measured_at: datetime
    confidence: int
    badge: Badge
    sources: int


@latest_metrics.cached(key="{user}", tags=[_VIEW])
async def latest_of(user: int) -> tuple[LatestMetric, ...]:
    """Return the best value of each of a user's metrics, by name, for a caller who may see her."""
    return tuple([LatestMetric(**dict(row)) for row in await database.fetch(QUERIES["latest_of_user"], user)])


@latest_metrics.cached(tags=[_VIEW])
async def quality() -> Quality:
    """Count the badges of everybody's latest metrics."""
    return await overview.quality(database)


@latest_metrics.cached(tags=[_VIEW])
async def low_quality() -> list[LowQuality]:
    """Return the metrics that are trusted least."""
    return await overview.low_quality(database)


async def forget() -> None:
    """Have all be read anew; in the transaction that refreshes the view, once that has committed."""
    await latest_metrics.invalidate(_VIEW)
