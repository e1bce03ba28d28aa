"""When repeating jobs fire next, as people ask for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from roadworthy.errors import DeclarationError
from roadworthy.jobs.cron import schedule_of
from roadworthy.jobs.engine import REPLACED_AFTER, ScheduleRecord


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A schedule and its next fire time, in its own time zone; None where this machine does not know the zone.

    `seen_at` is when a scheduler last declared it so: where that is minutes ago, none runs, or it was removed.
    """

    schedule: str
    definition: str
    next_fire: datetime | None
    last_fire: datetime | None
    seen_at: datetime


def upcoming(records: Iterable[ScheduleRecord], now: datetime) -> list[Upcoming]:
    """Return the schedules that are declared, those that fire next first; without definitions that were replaced."""
    records = list(records)
    newest: dict[str, datetime] = {}
    for record in records:
        newest[record.schedule] = max(record.seen_at, newest.get(record.schedule, record.seen_at))
    found = [
        Upcoming(record.schedule, record.definition, _next(record.definition, now), record.last_fire, record.seen_at)
        for record in records
        if record.seen_at >= newest[record.schedule] - REPLACED_AFTER
    ]
    return sorted(found, key=lambda one: (one.next_fire is None, one.next_fire or now, one.schedule))


def _next(definition: str, now: datetime) -> datetime | None:
    try:
        schedule = schedule_of(definition)
    except DeclarationError:
        return None
    return schedule.at(schedule.after(now))
