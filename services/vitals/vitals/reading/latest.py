"""How `latest_unified_metrics` is kept: refreshed when something changed, not too often, never twice at once.

Readers see the old contents until a refresh commits. What it costs bounds how often it is done: at most a tenth of one
connection's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from roadworthy import Database, load_queries, minutes, seconds
from vitals import remembered

QUERIES = load_queries("vitals.reading", "latest.sql")

SHORTEST_INTERVAL = seconds(10)
LONGEST_DELAY = minutes(5)
REFRESH_TIMEOUT = minutes(10)

_SHARE = 10

Outcome = Literal["refreshed", "fresh", "early", "busy"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh the view is.

    `refreshed_at` is the moment whose data it shows, `took` what that refresh cost. `changed_at` is the oldest change
    that it does not show yet, None where it shows all. `failures` counts the failed attempts since.
    """

    now: datetime
    refreshed_at: datetime
    took: timedelta
    changed_at: datetime | None
    failures: int
    failed_at: datetime | None
    failure: str | None

    @property
    def lag(self) -> timedelta:
        """For how long the view has not shown something that is there."""
        return timedelta(0) if self.changed_at is None else max(self.now - self.changed_at, timedelta(0))

    @property
    def next_at(self) -> datetime:
        """When it may be refreshed next: the sooner the cheaper the last time was, later after failures."""
        interval = max(SHORTEST_INTERVAL, self.took * _SHARE)
        if self.failed_at is None:
            return self.refreshed_at + interval
        delay = min(interval * float(2 ** min(self.failures, 16)), LONGEST_DELAY)
        return self.failed_at + max(interval, delay)

    @property
    def due(self) -> bool:
        """Whether it should be refreshed now."""
        return self.changed_at is not None and self.now >= self.next_at

    @property
    def overdue(self) -> bool:
        """Whether its readers should be told that it lags: it is a minute behind what was promised."""
        return self.changed_at is not None and self.now - max(self.next_at, self.changed_at) > minutes(1)


async def freshness(database: Database) -> Freshness:
    """Return how fresh the view is."""
    row = await database.fetchrow(QUERIES["freshness"])
    if row is None:
        raise LookupError("internal.latest_refresh has no row; insert its default one")
    return Freshness(**row)


async def refresh(database: Database, *, force: bool = False) -> Outcome:
    """Refresh the view if that is due, or in any case with `force`; say what was done.

    Whoever comes while another refreshes leaves it to that one. A failure is noted in `internal.latest_refresh`, and
    raised.
    """
    try:
        return await _refresh(database, force=force)
    except Exception as error:
        await database.execute(QUERIES["note_failure"], f"{type(error).__name__}: {error}"[:1000])
        raise


async def _refresh(database: Database, *, force: bool) -> Outcome:
    async with database.transaction() as connection:
        if not await connection.fetchval(QUERIES["lock"]):
            return "busy"
        found = await freshness(database)
        if not force and not found.due:
            return "fresh" if found.changed_at is None else "early"
        await connection.execute(QUERIES["steer"])
        await connection.execute(QUERIES["take_changes"])
        await connection.execute(QUERIES["refresh"], timeout=REFRESH_TIMEOUT.total_seconds())
        await connection.execute(QUERIES["note_refresh"])
        await remembered.forget()
    return "refreshed"
