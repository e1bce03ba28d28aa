"""The jobs between a stored event and its observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roadworthy import GiveUp, current_job, days, minutes, seconds
from vitals.confidence.jobs import calculate_confidences
from vitals.ingestion import apply as applying
from vitals.ingestion.apply import QUERIES, UNFINISHED, Applied
from vitals.service import (
    database,
    events_failed,
    events_processed,
    events_unfinished,
    ingestion,
    ingestion_lag,
    observations_kept,
    oldest_pending,
    upkeep,
    values_refused,
    wearers,
)
from vitals.webhooks import events as stored

KEPT_EVENTS = days(90)
_SETTLES = seconds(15)


class PayloadUnreadable(GiveUp):
    """A payload that no further attempt will read; the message says why."""


@ingestion.job(timeout=seconds(60))
async def normalise(events: list[int]) -> None:
    """Apply events that arrived together; once that failed, each goes on alone, so that one harms no other."""
    job = current_job()
    if job is not None and job.attempt > 1 and len(events) > 1:
        await normalise_event.enqueue_many({"event": event} for event in events)
        return
    async with database.transaction():
        applied = await applying.apply(database, events)
        await follow_up(applied)
        await normalise_event.enqueue_many({"event": event} for event in applied.refused)
    count(applied)


@ingestion.job(unique="{event}", timeout=seconds(60), attempts=3)
async def normalise_event(event: int) -> None:
    """Apply one event; what cannot be read goes to the dead letters at once, and can be retried from there."""
    job = current_job()
    if job is not None and job.attempt >= job.attempts:
        # Should this process not survive the payload, nobody is left to say so.
        await applying.fail(database, event, "its last attempt did not end")
    async with database.transaction():
        applied = await applying.apply(database, [event], UNFINISHED)
        await follow_up(applied)
    for reason in applied.refused.values():
        await applying.fail(database, event, reason)
        events_failed.inc()
        raise PayloadUnreadable(reason)
    count(applied)
    for user in applied.stale:
        await wearers.seen(user)


async def follow_up(applied: Applied) -> None:
    """Have the confidences calculated that events made stale, once for all that comes in the next seconds."""
    if applied.stale:
        await calculate_confidences.with_options(delay=_SETTLES).enqueue(users=list(applied.stale))


def count(applied: Applied) -> None:
    """Count in the metrics what became of events."""
    for lag in applied.lags:
        ingestion_lag.observe(max(0.0, lag))
    events_processed.inc(len(applied.lags))
    observations_kept.inc(applied.observations)
    values_refused.inc(applied.values_refused)


async def keep(events: Sequence[stored.NewEvent]) -> None:
    """Keep events that came by webhook, with their jobs, in one transaction."""

    async def enqueue(batches: list[list[int]]) -> Any:
        return await normalise.enqueue_many({"events": batch} for batch in batches)

    await stored.store(database, events, enqueue)


@upkeep.job(every=minutes(1), timeout=minutes(1))
async def measure_backlog() -> None:
    """Tell the metrics what waits and what failed."""
    row = await database.fetchrow(QUERIES["backlog"])
    assert row is not None  # noqa: S101 (an aggregate has a row)  # nosec B101
    events_unfinished.set(row["pending"], state="pending")
    events_unfinished.set(row["failed"], state="failed")
    oldest_pending.set(row["oldest"])


@upkeep.job(cron="23 2 * * *", timeout=minutes(30))
async def forget_old_events() -> None:
    """Forget what was sent long ago and has been read."""
    await stored.forget(database, KEPT_EVENTS)
