"""Spaces the requests to one host across all workers: turns in the database, by the database's clock."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from roadworthy import load_queries

# A job waits this long in its worker's hand at most; for a later turn it goes back to the queue.
PATIENCE = 1.0
# From this delay on, one request after the other is all that the turns leave room for.
ONE_AT_A_TIME = 1.0
DEFAULT_DELAY = 0.25

_SQL = load_queries("sitesearch.crawl")


class Connection(Protocol):
    """What runs a statement: the service's database, or a connection in a transaction."""

    async def fetchval(self, sql: str, *arguments: Any) -> Any: ...
    async def execute(self, sql: str, *arguments: Any) -> str: ...


async def take_turn(database: Connection, origin: str, delay: float) -> float:
    """Wait for this request's turn at `origin`, `delay` seconds after the one before.

    Returns:
        0 when the request may be made now; otherwise how many seconds from now to try again, the turn not taken.
    """
    if delay <= 0 and not await database.fetchval(_SQL["next_turn"], origin):
        return 0.0
    wait = await database.fetchval(_SQL["take_turn"], origin, delay, PATIENCE)
    if wait is None:
        return max(0.05, float(await database.fetchval(_SQL["next_turn"], origin) or 0.0))
    if wait > 0:
        await asyncio.sleep(wait)
    return 0.0


async def hold_off(database: Connection, origin: str, seconds: float) -> None:
    """Let no request go to `origin` for so many seconds."""
    await database.execute(_SQL["hold_off"], origin, seconds)


def width(width: int, concurrency: int, delay: float, *, answered: bool) -> int:
    """How many of a crawl's requests may be in flight next: one more after an answer, half as many after none."""
    if delay >= ONE_AT_A_TIME:
        return 1
    return min(concurrency, width + 1) if answered else max(1, width // 2)
