"""What people read of themselves and of their clients. Each function runs in a transaction of `access.reading_as`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from roadworthy import load_queries

if TYPE_CHECKING:
    from asyncpg import Record

    from vitals.reading.access import Connection

QUERIES = load_queries("vitals.reading", "metrics.sql")

Badge = Literal["excellent", "good", "fair", "poor"]
BADGES: tuple[Badge, ...] = ("excellent", "good", "fair", "poor")


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of a history: from `since`, inclusive, until `until`, exclusive, of one source or of all.

    `after` is the moment and the source of the last value of the page before.
    """

    since: datetime
    until: datetime
    source: str | None = None
    after: tuple[datetime, str] | None = None


async def person(connection: Connection, user: int) -> str | None:
    """Return a user's name, None for one who does not exist or is not to be seen."""
    name: str | None = await connection.fetchval(QUERIES["person"], user, column=1)
    return name


async def latest(connection: Connection, user: int) -> list[Record]:
    """Return the best value of each of a user's metrics, by name."""
    return await connection.fetch(QUERIES["latest"], user)


async def unit(connection: Connection, metric: str) -> str | None:
    """Return a metric's unit, None for one that there is not."""
    found: str | None = await connection.fetchval(QUERIES["metric_unit"], metric)
    return found


async def history(connection: Connection, user: int, metric: str, span: Span, limit: int) -> list[Record]:
    """Return at most `limit` values of a metric, the latest first."""
    moment, source = span.after or (None, None)
    return await connection.fetch(
        QUERIES["history"], user, metric, span.since, span.until, moment, source, limit, span.source
    )


async def sources(connection: Connection, user: int, metric: str) -> list[Record]:
    """Return the latest value of each source of a metric with its confidence, the one that counts first."""
    return await connection.fetch(QUERIES["sources_of_metric"], user, metric)


async def clients(connection: Connection, after: int, limit: int) -> list[Record]:
    """Return at most `limit` clients of the trainer who reads, by id, those behind `after`."""
    return await connection.fetch(QUERIES["clients"], after, limit)
