"""What people search for: counted in memory, kept every two seconds, shown by day.

A search must not wait for a write. A process that is killed loses at most the last two seconds of its counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta

import asyncpg
import structlog

from roadworthy import Database, RoadworthyError
from sitesearch.sites.sites import QUERIES

_MOST_PENDING = 10_000
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class QueryCount:
    """A query, how often it was searched, and how often in vain."""

    query: str
    searches: int
    without_results: int


@dataclass(frozen=True, slots=True)
class Day:
    """The searches of a day."""

    day: date
    searches: int
    without_results: int


@dataclass(slots=True)
class Recorder:
    """Counts searches, and writes the counts in batches; made by `open`."""

    database: Database
    every: timedelta = timedelta(seconds=2)
    _pending: dict[tuple[int, str], list[int]] = field(default_factory=dict)

    def record(self, site: int, query: str, *, found: bool) -> None:
        """Count a search. Beyond 10,000 different queries in one interval, new ones are not counted."""
        key = (site, " ".join(query.replace("\x00", " ").lower().split())[:200])
        if not key[1] or (key not in self._pending and len(self._pending) >= _MOST_PENDING):
            return
        counts = self._pending.setdefault(key, [0, 0])
        counts[0] += 1
        counts[1] += not found

    async def flush(self) -> None:
        """Write what has been counted; on failure it is kept for the next time."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            await self.database.execute(
                QUERIES["count_queries"],
                [site for site, _ in pending],
                [query for _, query in pending],
                [searches for searches, _ in pending.values()],
                [without for _, without in pending.values()],
            )
        except BaseException:
            for key, (searches, without) in pending.items():
                counts = self._pending.setdefault(key, [0, 0])
                counts[0] += searches
                counts[1] += without
            raise

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database) -> AsyncIterator[Recorder]:
        """A recorder that writes at every interval for the time of an `async with`, and once more at its end."""
        recorder = cls(database)
        task = asyncio.create_task(recorder._flush_forever())
        try:
            yield recorder
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=5)
            await recorder._try_to_flush()

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(self.every.total_seconds())
            await self._try_to_flush()

    async def _try_to_flush(self) -> None:
        try:
            async with asyncio.timeout(5):
                await self.flush()
        except (RoadworthyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            _log.warning("query counts not written", error=str(error), pending=len(self._pending))


async def top(database: Database, site: int, days: int, limit: int = 20) -> list[QueryCount]:
    """Return the most frequent queries of the last days."""
    return [QueryCount(**dict(row)) for row in await database.fetch(QUERIES["top_queries"], site, days, limit)]


async def in_vain(database: Database, site: int, days: int, limit: int = 20) -> list[QueryCount]:
    """Return the queries of the last days that most often found nothing."""
    rows = await database.fetch(QUERIES["queries_without_results"], site, days, limit)
    return [QueryCount(**dict(row)) for row in rows]


async def by_day(database: Database, site: int, days: int) -> list[Day]:
    """Return the searches of each of the last days, today's last."""
    return [Day(**dict(row)) for row in await database.fetch(QUERIES["queries_by_day"], site, days)]


async def forget_old(database: Database) -> None:
    """Forget the counts of more than 400 days ago: a year can still be compared with the one before."""
    await database.execute(QUERIES["forget_queries"])
