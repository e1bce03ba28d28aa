"""What was accepted is read, exactly, whatever is killed in the middle."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from events import encoded, post
from installation import Installation, installed

from vitals import sample
from vitals.payloads.normalise import normalise

Key = tuple[str, str, str, datetime]


def observations(payloads: list[dict[str, Any]]) -> dict[Key, float]:
    """What these payloads say, an account of one observation by a later payload replacing an earlier one's."""
    found: dict[Key, float] = {}
    for one in sorted(payloads, key=lambda one: (datetime.fromisoformat(one["created_at"]), one["event_id"])):
        for observation in normalise(encoded(one)).observations:
            key = (one["user"]["reference"], observation.metric, observation.source, observation.started_at)
            found[key] = observation.value
    return found


async def send(installation: Installation, payloads: list[dict[str, Any]]) -> None:
    async with httpx.AsyncClient(base_url=installation.url) as client:
        responses = await asyncio.gather(*(post(client, encoded(one)) for one in payloads))
    assert {response.status_code for response in responses} == {202}


async def until_writing(connection: Any) -> None:
    """Wait until a worker is in the middle of keeping observations."""
    async with asyncio.timeout(30):
        while not await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO observations%'"
        ):
            await asyncio.sleep(0.05)


async def until_read(connection: Any, events: int) -> None:
    async with asyncio.timeout(90):
        while await connection.fetchval("SELECT count(*) FROM webhook_events WHERE state = 'processed'") < events:
            await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
async def test_what_was_accepted_is_read_whatever_is_killed(tmp_path: Path) -> None:
    payloads = list(sample.payloads(4, 4, random.Random(7), datetime.now(UTC)))
    half = len(payloads) // 2
    async with installed(tmp_path / "data") as installation:
        async with installation.connection() as lock, installation.connection() as connection:
            await lock.execute("BEGIN; LOCK TABLE observations IN SHARE ROW EXCLUSIVE MODE")
            await send(installation, payloads[:half])
            await until_writing(connection)
            installation.kill("worker-ingestion")
            await lock.execute("ROLLBACK")
            await until_read(connection, half)

            await lock.execute("BEGIN; LOCK TABLE observations IN SHARE ROW EXCLUSIVE MODE")
            await send(installation, payloads[half:])
            await until_writing(connection)
            await installation.kill_all()

        await installation.start()
        async with installation.connection() as connection:
            await until_read(connection, len(payloads))
            rows = await connection.fetch(
                "SELECT u.reference, metric, source, started_at, value FROM observations JOIN users u ON u.id = user_id"
            )
            kept = {(row["reference"], row["metric"], row["source"], row["started_at"]): row["value"] for row in rows}
            assert kept == observations(payloads)
            assert await connection.fetchval("SELECT count(*) FROM roadworthy.dead_jobs") == 0
