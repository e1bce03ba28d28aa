"""Runs: begun once of a kind at a time, cut into chunks that each count once, watched and cancelled by people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from roadworthy import Database, load_queries

QUERIES = load_queries("vitals.runs")

Kind = Literal["recalculate", "backfill"]
KINDS: tuple[Kind, ...] = ("recalculate", "backfill")
State = Literal["running", "finished", "cancelled"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run stands: `done` of `total` users or events. The total is 0 until the chunks are cut."""

    id: int
    kind: Kind
    state: State
    total: int
    done: int
    started_at: datetime
    finished_at: datetime | None

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1."""
        if self.state == "finished":
            return 1.0
        return self.done / self.total if self.total else 0.0


async def progress(database: Database, run: int) -> Progress | None:
    """Return how a run stands, None where there is none."""
    row = await database.fetchrow(QUERIES["progress"], run, 1)
    return None if row is None else Progress(**dict(row))


async def latest(database: Database, limit: int = 10) -> list[Progress]:
    """Return the latest runs, the newest first."""
    return [Progress(**dict(row)) for row in await database.fetch(QUERIES["progress"], None, limit)]


async def cancel(database: Database, run: int) -> bool:
    """Cancel a run; chunks under way are finished. Return False where it is over already."""
    return await database.fetchval(QUERIES["cancel_run"], run) is not None
