"""Applies events: their payloads' observations, their state, and whose confidences they made stale, all or nothing.

Applying an event twice, or events in another order, leaves the same observations: of two accounts of one observation
that of the later event stays, by the provider's clock, then by the event's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from roadworthy import Database, load_queries
from vitals.payloads.normalise import Normalised, Observation, normalise
from vitals.webhooks.envelope import PayloadRefused

QUERIES = load_queries("vitals.ingestion")
UNFINISHED = ("pending", "failed")
EVERY = ("pending", "failed", "processed", "ignored")


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of some events.

    `lags` are the seconds from each one's arrival to now, `observations` how many were read, `values_refused` how many
    were not believed. `refused` has the reason of each event that could not be read and was left as it was. `stale` are
    users whose confidences nobody is about to calculate yet.
    """

    lags: tuple[float, ...]
    observations: int
    values_refused: int
    refused: dict[int, str]
    stale: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Account:
    """An observation as one event tells it."""

    user_id: int
    observation: Observation
    event_at: datetime
    event_id: str

    @property
    def key(self) -> tuple[int, str, str, datetime]:
        one = self.observation
        return self.user_id, one.metric, one.source, one.started_at

    @property
    def version(self) -> tuple[datetime, str]:
        return self.event_at, self.event_id


async def apply(database: Database, events: Sequence[int], states: Sequence[str] = ("pending",)) -> Applied:
    """Apply those of the events that are in one of `states`, within the caller's transaction if there is one."""
    async with database.transaction():
        rows = await database.fetch(QUERIES["take_events"], events, states)
        read: list[tuple[Any, Normalised]] = []
        refused: dict[int, str] = {}
        for row in rows:
            try:
                read.append((row, normalise(row["body"])))
            except PayloadRefused as error:
                refused[row["id"]] = str(error)
        stale = await _keep(database, read)
        lags = await _finish(database, read)
    return Applied(
        lags=lags,
        observations=sum(len(found.observations) for _, found in read),
        values_refused=sum(len(found.refusals) for _, found in read),
        refused=refused,
        stale=stale,
    )


async def fail(database: Database, event: int, reason: str) -> None:
    """Note why an event could not be applied, unless it was after all."""
    await database.execute(QUERIES["fail_event"], event, reason)


async def _keep(database: Database, read: Sequence[tuple[Any, Normalised]]) -> tuple[int, ...]:
    """Keep the observations; return the users who became stale by them."""
    users = await _users(database, [row for row, found in read if found.observations])
    latest: dict[tuple[int, str, str, datetime], _Account] = {}
    for row, found in read:
        for observation in found.observations:
            account = _Account(users[row["reference"]], observation, row["event_at"], row["event_id"])
            known = latest.get(account.key)
            if known is None or account.version >= known.version:
                latest[account.key] = account
    if not latest:
        return ()
    accounts = latest.values()
    rows = await database.fetch(
        QUERIES["keep_observations"],
        [one.user_id for one in accounts],
        [one.observation.metric for one in accounts],
        [one.observation.source for one in accounts],
        [one.observation.started_at for one in accounts],
        [one.observation.measured_at for one in accounts],
        [one.observation.value for one in accounts],
        [one.observation.device for one in accounts],
        [one.event_at for one in accounts],
        [one.event_id for one in accounts],
    )
    return tuple(row["user_id"] for row in rows)


async def _users(database: Database, rows: Sequence[Any]) -> dict[str, int]:
    """Return the ids of the users by reference; one who was never heard of becomes known."""
    found = {row["reference"]: row["user_id"] for row in rows if row["user_id"] is not None}
    unknown = sorted({row["reference"] for row in rows} - found.keys())
    if unknown:
        await database.execute(QUERIES["add_users"], unknown)
        # A statement of its own: only a later snapshot has those that somebody else added meanwhile.
        found |= {row["reference"]: row["id"] for row in await database.fetch(QUERIES["users_by_reference"], unknown)}
    return found


async def _finish(database: Database, read: Sequence[tuple[Any, Normalised]]) -> tuple[float, ...]:
    """Note what became of the events that could be read; return their lags in seconds."""
    if not read:
        return ()
    rows = await database.fetch(
        QUERIES["finish_events"],
        [row["id"] for row, _ in read],
        ["processed" if found.observations or found.refusals else "ignored" for _, found in read],
        [len(found.observations) for _, found in read],
        [found.reason or (None if found.observations else "it holds no value for us") for _, found in read],
    )
    return tuple(row["lag"] for row in rows)
