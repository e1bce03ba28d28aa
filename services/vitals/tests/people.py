"""Users, trainers and their data, as the tests need them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from vitals.reading import access
from vitals.service import database

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)


async def add_user(reference: str, name: str = "") -> int:
    id: int = await database.fetchval(
        "INSERT INTO users (reference, name) VALUES ($1, $2) RETURNING id", reference, name or reference.title()
    )
    return id


async def add_trainer(reference: str, *clients: int) -> int:
    id: int = await database.fetchval(
        "INSERT INTO trainers (reference, name) VALUES ($1, $2) RETURNING id", reference, reference.title()
    )
    for client in clients:
        await database.execute("INSERT INTO trainer_clients (trainer_id, user_id) VALUES ($1, $2)", id, client)
    return id


async def key_of(holder: access.Holder, reference: str) -> str:
    key = await access.issue(database, holder, reference)
    assert key is not None
    return key


async def observe(
    user: int, metric: str, source: str, value: float, at: datetime = NOW, *, connection: Any = None
) -> None:
    await (connection or database).execute(
        "INSERT INTO observations (user_id, metric, source, started_at, measured_at, value, event_at, event_id) "
        "VALUES ($1, $2, $3, $5, $5, $4, $5, 'test') "
        "ON CONFLICT (user_id, metric, source, started_at) DO UPDATE SET value = excluded.value",
        user,
        metric,
        source,
        value,
        at,
    )


async def confide(user: int, metric: str, source: str, confidence: int) -> None:
    """Give a source a confidence, as the confidence job would."""
    reliability = min(confidence, 40)
    rest = confidence - reliability
    parts = [min(rest, 20), min(max(rest - 20, 0), 20), min(max(rest - 40, 0), 20)]
    await database.execute(
        "INSERT INTO confidences (user_id, metric, source, reliability, freshness, frequency, agreement) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        user,
        metric,
        source,
        reliability,
        *parts,
    )
