"""Vitals: its load, and what is done to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from roadworthy.database import driver

from .causes import (
    Cause,
    Phase,
    all_of,
    asked,
    few_descriptors,
    flooded,
    jobs_fail,
    loop_blocked,
    paused,
    postgres_hangs,
    process_stopped,
    queue_filled,
    redis_hangs,
    repeated,
    service_stopped,
    tables_locked,
)
from .running import Load, Running, running

_SECRET = secrets.token_hex(32)


@asynccontextmanager
async def vitals(directory: Path) -> AsyncIterator[Running]:
    """Run it, with one person whose data come all the time."""
    async with running("vitals", directory, {"VITALS_SECRET_AGGREGATOR": _SECRET}) as service:
        service.own["draw"] = random.Random(1)
        (await _webhook(service)).raise_for_status()
        async with asyncio.timeout(60):
            while not (found := await service.sql("SELECT id FROM users WHERE reference = 'mira'")):
                await asyncio.sleep(0.2)
        service.own["user"] = found[0]["id"]
        service.own["key"] = await service.command("issue", "user", "mira", module="vitals.keys")
        service.load += [
            Load("webhook", 0.5, lambda _: _webhook(service)),
            Load("latest metrics", 0.5, lambda _: _latest(service)),
        ]
        yield service


def quick() -> tuple[Phase, ...]:
    """Return what is done to it where there is little time."""
    return (
        (
            Cause("a web process held up for 0.8 s at a time", ("EventLoopLagging",), loop_blocked),
            Cause("descriptors limited to three more than are open", ("FileDescriptorsRunningOut",), few_descriptors),
            Cause("Redis stands still", ("RedisDown",), redis_hangs),
        ),
    )


def throughout() -> Phase:
    """Return what takes long, and goes on beside all else."""
    return (
        Cause("a worker stands still", ("WorkerDown",), process_stopped("worker-confidence-1"), within=150),
        Cause("sources that nobody trusts", ("LowConfidence",), _nobody_trusted, within=150),
    )


def last() -> tuple[Phase, ...]:
    """Return what nothing else can be seen beside."""
    return ((Cause("the whole service stands still", ("TargetDown",), service_stopped),),)


def phases() -> tuple[Phase, ...]:
    """Return what is done to it, one phase after the other."""
    return (
        (
            Cause(
                "a confidence has waited for twenty minutes, without a worker",
                ("ConfidenceLagging",),
                _confidence_waits,
            ),
            Cause(
                "a job due for two minutes in a queue without a worker",
                ("OldestJobAge confidence",),
                queue_filled("confidence", "calculate_confidences", count=1, age=120),
            ),
            Cause("webhooks with another secret", ("WebhooksUnauthenticated",), asked(_forged)),
            Cause("a web process held up for 0.8 s at a time", ("EventLoopLagging",), loop_blocked),
            Cause("descriptors limited to three more than are open", ("FileDescriptorsRunningOut",), few_descriptors),
            Cause("a webhook that cannot be read", ("EventsFailing",), _unreadable),
            Cause("a refresh that holds its lock, and a change ten minutes old", ("LatestMetricsLag",), _not_refreshed),
            Cause(
                "jobs that cannot end",
                ("DeadLettersGrowing", "HighJobFailureRate"),
                jobs_fail("upkeep", "forget_old_events"),
            ),
            Cause("Redis stands still", ("RedisDown",), redis_hangs),
        ),
        (
            Cause(
                "1,200 jobs in a paused queue, and a webhook that came ten minutes ago",
                ("WorkerQueueBacklog", "OldestJobAge ingestion", "IngestionLagging"),
                all_of(_event_waits, queue_filled("ingestion", "normalise_event", count=1200)),
            ),
        ),
        (
            Cause(
                "webhooks that were read ten minutes late",
                ("IngestionLagBudgetBurn 1h", "IngestionLagBudgetBurn 6h"),
                _read_late,
            ),
        ),
        (
            Cause(
                "PostgreSQL stands still",
                (
                    "PostgresDown",
                    "HealthCheckFailing",
                    "HighAPIErrorRate",
                    "HighAPILatency",
                    "WebhooksNotKept",
                    *(
                        f"{objective}BudgetBurn {window}"
                        for objective in ("Availability", "WebhookSuccess", "WebhookLatency", "LatestMetricsLatency")
                        for window in ("1h", "6h")
                    ),
                ),
                all_of(asked(_more), postgres_hangs),
            ),
        ),
        (
            Cause(
                "a transaction that keeps the tables locked",
                ("DatabasePoolExhausted",),
                all_of(asked(_more), tables_locked),
            ),
        ),
        (
            Cause(
                "more requests than one processor can answer",
                ("HighCPUUsage",),
                flooded(lambda number: f"/operator/static/style.css?{number}", connections=60),
            ),
            Cause(
                "a job due for ten minutes in a paused queue",
                ("OldestJobAge upkeep",),
                queue_filled("upkeep", "forget_old_events", count=1, age=600),
            ),
        ),
    )


async def _webhook(service: Running, *, secret: str = _SECRET, data: Any = None) -> httpx.Response:
    from vitals.sample import payload
    from vitals.webhooks.signature import FORMAT

    now = datetime.now(UTC)
    morning = now.replace(hour=0, minute=0, second=0, microsecond=0)
    content = payload("mira", "GARMIN", "daily", morning, now, service.own["draw"])
    body = json.dumps(content if data is None else content | {"data": data}).encode()
    headers = {"content-type": "application/json", **FORMAT.sign(body, [secret.encode()], now=time.time())}
    return await service.client.post("/webhooks/aggregator", content=body, headers=headers)


async def _latest(service: Running) -> httpx.Response:
    headers = {"authorization": f"Bearer {service.own['key']}"}
    return await service.client.get(f"/api/v1/users/{service.own['user']}/metrics/latest", headers=headers)


def _forged(service: Running) -> Load:
    return Load("forged", 1.0, lambda _: _webhook(service, secret=secrets.token_hex(32)))


async def _measured(service: Running, job: str) -> None:
    """Have a gauge measured now that is measured each minute."""
    # It may be measured just now.
    await service.sql(
        "INSERT INTO roadworthy.jobs (queue, job, arguments, run_at, enqueued_at, state, priority, attempts) "
        "VALUES ('upkeep', $1, '{}', now(), now(), 1, 0, 1)",
        job,
    )


@asynccontextmanager
async def _confidence_waits(service: Running) -> AsyncIterator[None]:
    await service.sql(
        "INSERT INTO stale_confidences (user_id, stale_since) VALUES ($1, now() - interval '20 minutes') "
        "ON CONFLICT (user_id) DO UPDATE SET stale_since = excluded.stale_since",
        service.own["user"],
    )
    async with repeated(3.0, lambda: _measured(service, "measure_confidence")):
        yield
    await service.sql("DELETE FROM stale_confidences")
    await _measured(service, "measure_confidence")


@asynccontextmanager
async def _nobody_trusted(service: Running) -> AsyncIterator[None]:
    async def distrust() -> None:
        await service.sql("UPDATE confidences SET reliability = 5, freshness = 5, frequency = 5, agreement = 5")
        await _measured(service, "measure_confidence")

    async with repeated(3.0, distrust):
        yield
    await service.sql("UPDATE confidences SET reliability = 40, freshness = 20, frequency = 20, agreement = 10")
    await _measured(service, "measure_confidence")


@asynccontextmanager
async def _unreadable(service: Running) -> AsyncIterator[None]:
    (await _webhook(service, data="no list of records")).raise_for_status()
    async with repeated(3.0, lambda: _measured(service, "measure_backlog")):
        yield
    await service.sql("DELETE FROM webhook_events WHERE state = 'failed'")
    await _measured(service, "measure_backlog")


@asynccontextmanager
async def _event_waits(service: Running) -> AsyncIterator[None]:
    async def late() -> None:
        await service.sql(
            "UPDATE webhook_events SET received_at = now() - interval '10 minutes' WHERE state = 'pending'"
        )
        await _measured(service, "measure_backlog")

    async with repeated(3.0, late):
        yield
    await service.sql("UPDATE webhook_events SET received_at = now() WHERE state = 'pending'")
    async with asyncio.timeout(30):
        while await service.sql("SELECT FROM webhook_events WHERE state = 'pending' LIMIT 1"):
            await _measured(service, "measure_backlog")
            await asyncio.sleep(1)
    await _measured(service, "measure_backlog")


@asynccontextmanager
async def _read_late(service: Running) -> AsyncIterator[None]:
    async def once() -> None:
        async with paused("ingestion")(service):
            await asyncio.sleep(2)
            await service.sql(
                "UPDATE webhook_events SET received_at = now() - interval '10 minutes' WHERE state = 'pending'"
            )

    async with repeated(0.5, once):
        yield
    # A pause that was cut short may have been left.
    with contextlib.suppress(RuntimeError):
        await service.command("jobs", "resume", "ingestion")


@asynccontextmanager
async def _not_refreshed(service: Running) -> AsyncIterator[None]:
    connection = await driver.connect(service.dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtextextended('internal.latest_unified_metrics', 0))")
        await connection.execute(
            "INSERT INTO internal.latest_changes (changed_at) VALUES (now() - interval '10 minutes')"
        )
        yield
    finally:
        connection.terminate()


def _more(service: Running) -> Load:
    return Load("more", 0.15, lambda _: _latest(service))
