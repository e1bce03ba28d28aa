"""Which fire times of a schedule are to be made up for when nobody was there to fire them. Pure."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Literal

from roadworthy.jobs.cron import Cron, Every

Missed = Literal["latest", "all", "skip"]

LATE = timedelta(minutes=1)
"""How late a fire time may be that is not to be made up for: a scheduler needs a moment to take over from another."""

MOST_MADE_UP = 1000


def due(schedule: Every | Cron, missed: Missed, *, since: datetime, now: datetime) -> list[datetime]:
    """Return the fire times after `since`, up to `now`, that are to be fired, oldest first.

    `latest` is the last of them, `all` each of the last `MOST_MADE_UP`, `skip` the last if it is at most `LATE` late.
    """
    latest = schedule.before(now)
    if latest <= since or (missed == "skip" and now - latest > LATE):
        return []
    if missed != "all":
        return [latest]
    found = deque([latest])
    while len(found) < MOST_MADE_UP and (earlier := schedule.before(found[0] - timedelta.resolution)) > since:
        found.appendleft(earlier)
    return list(found)
