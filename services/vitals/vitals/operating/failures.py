"""Jobs that failed for good: what failed and why, and another try for one of them or for all of a kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from roadworthy import DeadFilter
from vitals.service import service

MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A dead job: what it was to do, how often it was tried, and how its last attempt ended."""

    id: int
    job: str
    arguments: str
    attempts: int
    died_at: datetime
    error_class: str
    message: str


@dataclass(frozen=True, slots=True)
class FailedKind:
    """Dead jobs of one kind that died of one kind of error."""

    job: str
    error_class: str
    count: int
    last_died_at: datetime
    message: str


async def kinds() -> Sequence[FailedKind]:
    """Return what failed, by job and error, the most frequent first."""
    groups = await service.dead_letters.groups()
    return [FailedKind(each.job, each.error_class, each.count, each.last_died_at, each.message) for each in groups]


async def latest() -> Sequence[FailedJob]:
    """Return the twenty latest jobs that failed."""
    found = []
    for record in await service.dead_letters.jobs(limit=MOST_SHOWN):
        last = record.failures[-1] if record.failures else {}
        found.append(
            FailedJob(
                record.id,
                record.job,
                record.arguments.decode()[:200],
                record.attempt,
                record.run_at,
                last.get("error_class", ""),
                last.get("message", "")[:500],
            )
        )
    return found


async def retry_one(id: int, *, who: str) -> int:
    """Have a dead job tried again; return how many there were, 0 or 1."""
    return (await service.dead_letters.retry(DeadFilter(ids=(id,)), who=who)).changed


async def retry_kind(job: str, error_class: str | None, *, who: str) -> int:
    """Have all dead jobs of a kind tried again; return how many there were."""
    return (await service.dead_letters.retry(DeadFilter(job=job, error_class=error_class), who=who)).changed
