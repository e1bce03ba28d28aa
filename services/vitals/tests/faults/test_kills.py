"""What was accepted is read, exactly, whatever is killed in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from events import SECRET, encoded, payload, post
from installation import Installation, installed

from vitals import sample
from vitals.payloads.normalise import normalise
from vitals.webhooks.signature import FORMAT, HEADER

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
    async with asyncio.timeout(60):
        while not await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO observations%'"
        ):
            await asyncio.sleep(0.05)


async def until_read(connection: Any, events: int) -> None:
    async with asyncio.timeout(90):
        while await connection.fetchval("SELECT count(*) FROM webhook_events WHERE state = 'processed'") < events:
            await asyncio.sleep(0.1)


def answer(url: httpx.URL, headers: str, *parts: bytes) -> bytes:
    """The beginning of the answer to a request whose body comes in parts, and then no more."""
    signed = FORMAT.sign(b"".join(parts), [SECRET.encode()], now=time.time())[HEADER]
    head = f"POST /webhooks/aggregator HTTP/1.1\r\nhost: vitals.test\r\ncontent-type: application/json\r\n{headers}"
    with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
        connection.sendall(f"{head}{HEADER}: {signed}\r\n\r\n".encode())
        # It may answer, and hang up, before all is sent.
        with contextlib.suppress(OSError):
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
        return connection.recv(100)


async def send_what_is_refused(installation: Installation) -> None:
    """However broken a request is sent, it is answered, and changes nothing."""
    body = encoded(payload([], event_id="never"))
    large = encoded(payload([], padding="x" * 5_000_000))
    parts = [large[first : first + 65536] for first in range(0, len(large), 65536)]
    chunks = [f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts]
    for status, headers, sent in (
        (413, f"content-length: {len(large)}\r\n", parts),
        (413, "transfer-encoding: chunked\r\n", chunks),
        (400, f"content-length: {len(body)}\r\n", [body[:50]]),
        (401, f"content-length: {len(body)}\r\n", [body, b"and more"]),
        (400, "content-length: many\r\n", [body]),
    ):
        answered = await asyncio.to_thread(answer, httpx.URL(installation.url), headers, *sent)
        assert answered.startswith(f"HTTP/1.1 {status} ".encode()), answered
    async with installation.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM webhook_events") == 0


@pytest.mark.timeout(300)
async def test_what_was_accepted_is_read_whatever_is_killed(tmp_path: Path) -> None:
    payloads = list(sample.payloads(4, 4, random.Random(7), datetime.now(UTC)))
    half = len(payloads) // 2
    async with installed(tmp_path / "data") as installation:
        await send_what_is_refused(installation)
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
