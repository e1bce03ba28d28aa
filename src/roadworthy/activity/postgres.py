"""Activity in PostgreSQL: noted in batches, counted exactly."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from roadworthy.activity.figures import Cohort, Day, Figures, monday, share
from roadworthy.activity.sightings import Sighting

if TYPE_CHECKING:
    from roadworthy.database.driver import Record

Fetch = Callable[..., Awaitable[Sequence["Record"]]]
"""Runs a statement of queries.sql by its name, with arguments, and returns its rows."""

PACKAGE = "roadworthy.activity"

_WEEK = timedelta(days=7)


async def key(fetch: Fetch) -> bytes:
    """Return the key that persons are hashed with, drawn by the first who asks."""
    rows = await fetch("read_key")
    if not rows:
        await fetch("draw_key", secrets.token_bytes(32))
        rows = await fetch("read_key")
    return bytes(rows[0]["key"])


async def note(fetch: Fetch, activity: str, sightings: Sequence[Sighting]) -> None:
    """Keep sightings; those that are there already change nothing."""
    await fetch("note", activity, [person for person, _ in sightings], [day for _, day in sightings])


async def figures(fetch: Fetch, activity: str, today: date) -> Figures:
    """Count who is active, who came back and who left."""
    (active,) = await fetch("active", activity, today)
    (churn,) = await fetch("churn", activity, today)
    last_week = monday(today) - _WEEK
    known = {one.week: one for one in await cohorts(fetch, activity, today, weeks=5)}
    retention = []
    for weeks in range(1, 5):
        cohort = known.get(last_week - weeks * _WEEK)
        retention.append(share(cohort.returned[weeks - 1] or 0, cohort.size) if cohort else share(0, 0))
    return Figures(
        active["day"], active["week"], active["month"], tuple(retention), share(churn["gone"], churn["before"])
    )


async def cohorts(fetch: Fetch, activity: str, today: date, *, weeks: int) -> list[Cohort]:
    """Return those who came first in each of the last whole weeks; a week in which nobody did is left out."""
    this_week = monday(today)
    rows = await fetch("cohorts", activity, this_week - weeks * _WEEK, this_week)
    found = []
    for week, of in groupby(rows, lambda row: row["week"]):
        counted = list(of)
        returned = (row["returned"] if week + row["weeks"] * _WEEK < this_week else None for row in counted)
        found.append(Cohort(week, counted[0]["size"], tuple(returned)))
    return found


async def days(fetch: Fetch, activity: str, first: date, last: date) -> list[Day]:
    """Return who was active on each day, the first and the last included."""
    return [Day(row["day"], row["active"], row["new"]) for row in await fetch("days", activity, first, last)]


async def prune(fetch: Fetch, activity: str, before: date, *, limit: int) -> None:
    """Remove at most `limit` days before a day, and persons who were last active before it."""
    await fetch("prune_days", activity, before, limit)
    await fetch("prune_persons", activity, before, limit)
