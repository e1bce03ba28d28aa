"""How all goes, over everybody's data: it runs as the service itself, and shows values to nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from roadworthy import Database, load_queries
from vitals.reading.metrics import BADGES, Badge

QUERIES = load_queries("vitals.operating", "overview.sql")

MOST_ALERTS = 20


@dataclass(frozen=True, slots=True)
class MetricQuality:
    """How many users' values of a metric have each badge."""

    metric: str
    distribution: dict[Badge, int]

    @property
    def users(self) -> int:
        """How many users have the metric."""
        return sum(self.distribution.values())


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the latest metrics are: all, and each by name. `mean` is their mean confidence, None without any."""

    distribution: dict[Badge, int]
    mean: float | None
    metrics: Sequence[MetricQuality]

    @property
    def total(self) -> int:
        """How many metrics of users there are."""
        return sum(self.distribution.values())


@dataclass(frozen=True, slots=True)
class LowQuality:
    """A metric of a user that cannot be trusted much."""

    user_id: int
    name: str
    metric: str
    source: str
    confidence: int
    badge: Badge
    sources: int
    measured_at: datetime


async def quality(database: Database) -> Quality:
    """Count the badges of the latest metrics."""
    rows = await database.fetch(QUERIES["quality"])
    found: dict[str, dict[Badge, int]] = {}
    for row in rows:
        found.setdefault(row["metric"], dict.fromkeys(BADGES, 0))[row["badge"]] = row["users"]
    total = sum(row["users"] for row in rows)
    return Quality(
        distribution={badge: sum(each[badge] for each in found.values()) for badge in BADGES},
        mean=round(sum(row["confidence"] for row in rows) / total, 1) if total else None,
        metrics=[MetricQuality(metric, distribution) for metric, distribution in sorted(found.items())],
    )


async def low_quality(database: Database) -> list[LowQuality]:
    """Return the metrics with the badge `poor` that are trusted least, at most twenty."""
    return [LowQuality(**dict(row)) for row in await database.fetch(QUERIES["low_quality"], MOST_ALERTS)]
