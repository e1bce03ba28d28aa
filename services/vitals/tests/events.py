"""Payloads as the aggregator sends them, and requests that carry them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from vitals.webhooks.signature import FORMAT

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0c2a17be50d8f4963e1b7da08356c92f4"
MORNING = datetime(2026, 3, 2, tzinfo=UTC)


def payload(
    records: Any,
    *,
    event_id: str = "event-1",
    type: str = "daily",
    reference: str = "mira",
    source: str = "GARMIN",
    created_at: datetime = MORNING + timedelta(hours=20),
    **more: Any,
) -> dict[str, Any]:
    """One payload."""
    return {
        "event_id": event_id,
        "type": type,
        "created_at": created_at.isoformat(),
        "user": {"reference": reference, "source": source},
        "data": records,
        **more,
    }


def day(steps: Any, *, start: datetime = MORNING, hours: float = 20) -> dict[str, Any]:
    """A record of a day's steps."""
    return {
        "metadata": {"start_time": start.isoformat(), "end_time": (start + timedelta(hours=hours)).isoformat()},
        "distance_data": {"steps": steps},
    }


def weighing(kilograms: Any, at: datetime = MORNING) -> dict[str, Any]:
    """A record of one weighing."""
    return {"measurements_data": {"measurements": [{"measurement_time": at.isoformat(), "weight_kg": kilograms}]}}


def encoded(document: Any) -> bytes:
    """A payload as it is sent."""
    return json.dumps(document).encode()


async def post(
    client: httpx.AsyncClient,
    body: bytes,
    *,
    secret: str = SECRET,
    now: float | None = None,
    provider: str = "aggregator",
    **headers: str,
) -> httpx.Response:
    """Send a body, signed with `secret` at `now`; `headers` replace those of a good request, "" leaving one out."""
    moment = time.time() if now is None else now
    sent = {
        "content-type": "application/json",
        **FORMAT.sign(body, [secret.encode()], now=moment),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return await client.post(
        f"/webhooks/{provider}", content=body, headers={name: value for name, value in sent.items() if value}
    )
