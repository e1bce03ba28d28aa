"""The events that providers send: kept as they came, each with its job, in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from roadworthy import Database, load_queries
from vitals.webhooks.envelope import KINDS

QUERIES = load_queries("vitals.webhooks")
_CHUNK = 100
_FORGOTTEN_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to keep: its head, and its body as it came."""

    provider: str
    event_id: str
    kind: str
    reference: str
    event_at: datetime
    body: bytes


async def store(
    database: Database, events: Sequence[NewEvent], enqueue: Callable[[list[list[int]]], Awaitable[object]]
) -> None:
    """Keep the events that are not kept already, and have `enqueue` add jobs for their ids, all or nothing."""
    async with database.transaction():
        rows = await database.fetch(
            QUERIES["store_events"],
            [event.provider for event in events],
            [event.event_id for event in events],
            [event.kind for event in events],
            [event.reference for event in events],
            [event.event_at for event in events],
            [event.body for event in events],
            [None if event.kind in KINDS else f"no metric is read from {event.kind!r}" for event in events],
        )
        pending = sorted(row["id"] for row in rows if row["state"] == "pending")
        if pending:
            await enqueue([pending[first : first + _CHUNK] for first in range(0, len(pending), _CHUNK)])


async def forget(database: Database, older_than: timedelta) -> None:
    """Forget events that were received before the retention began; those that failed stay three times as long."""
    while await database.execute(QUERIES["forget_events"], older_than, _FORGOTTEN_AT_ONCE) != "DELETE 0":
        pass
