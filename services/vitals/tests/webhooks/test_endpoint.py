"""Webhooks over HTTP: what is genuine is kept once, with its job; anything else changes nothing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from events import MORNING, SECRET, day, encoded, payload, post

from roadworthy import DatabaseUnavailable, Service, testing
from vitals.app import app
from vitals.ingestion.jobs import normalise
from vitals.service import database, service
from vitals.webhooks import receiving

BODY = encoded(payload([day(9000)]))


async def kept() -> list[Any]:
    """Everything that a webhook could change."""
    tables = ("webhook_events", "observations", "users", "stale_confidences", "roadworthy.jobs", "roadworthy.dead_jobs")
    return [[tuple(row) for row in await database.fetch(f"SELECT * FROM {table} ORDER BY 1")] for table in tables]  # noqa: S608


def accepted(response: httpx.Response) -> bool:
    return response.status_code == 202 and response.json() == {"status": "accepted"}


async def test_a_genuine_event_is_kept_with_its_job_and_then_read(client: httpx.AsyncClient, running: Service) -> None:
    assert accepted(await post(client, BODY))
    (event,) = await database.fetch("SELECT * FROM webhook_events")
    assert (event["provider"], event["event_id"], event["kind"], event["state"]) == (
        "aggregator",
        "event-1",
        "daily",
        "pending",
    )
    assert event["body"] == BODY
    await testing.assert_enqueued(running, normalise, events=[event["id"]])

    await testing.drain(running)
    assert await database.fetchval("SELECT value FROM observations WHERE metric = 'steps'") == 9000
    assert await database.fetchval("SELECT state FROM webhook_events") == "processed"
    assert testing.metric(running, "webhooks_total", outcome="accepted") == 1
    assert testing.metric(running, "ingestion_lag_seconds_count") == 1


async def test_a_duplicate_is_answered_alike_and_changes_nothing(client: httpx.AsyncClient, running: Service) -> None:
    first = await post(client, BODY)
    await testing.drain(running)
    before = await kept()
    for _ in range(3):
        again = await post(client, BODY)
        assert (again.status_code, again.content) == (first.status_code, first.content)
    # Another body under an id that is known is no second event.
    assert accepted(await post(client, encoded(payload([day(1)]))))
    await testing.drain(running)
    assert await kept() == before


LARGEST_BODY = 1024 * 1024
# "now" in seconds from when the test runs.
FORGED: list[tuple[dict[str, Any], int, str]] = [
    ({"secret": SECRET.upper()}, 401, "unauthenticated"),
    ({"now": -400}, 401, "unauthenticated"),
    ({"now": 900}, 401, "unauthenticated"),
    ({"vitals_signature": ""}, 401, "unauthenticated"),
    ({"vitals_signature": "t=1,v1=abc"}, 401, "unauthenticated"),
    ({"content_type": "text/plain"}, 415, "unreadable"),
    ({"content_type": ""}, 415, "unreadable"),
    ({"content_encoding": "gzip"}, 415, "unreadable"),
    ({"provider": "stranger"}, 404, "unknown"),
]
BROKEN = [
    b"",
    b"{}",
    b"[1]",
    BODY[:-1],
    BODY[: len(BODY) // 2],
    BODY + b"}",
    BODY.replace(b'"event-1"', b"7"),
    BODY.replace(b'"event-1"', b'""'),
    BODY.replace(b'"event-1"', b'"\\u0000"'),
    BODY.replace(b'"event-1"', b'"\\ud800"'),
    BODY.replace(b'"event-1"', b'"' + b"x" * 201 + b'"'),
    BODY.replace(b"mira", b"\xff"),
    BODY.replace(b'"mira"', b"null"),
    encoded(payload([], created_at=datetime.now(UTC) + timedelta(days=1))),
    encoded(payload([], created_at=datetime(1999, 12, 31, tzinfo=UTC))),
    encoded(payload([], created_at=datetime(2026, 3, 1))),  # noqa: DTZ001
    b"[" * 50_000,
]


async def test_what_proves_nothing_changes_nothing(client: httpx.AsyncClient, running: Service) -> None:
    for options, status, _ in FORGED:
        moments = {name: time.time() + seconds for name, seconds in options.items() if name == "now"}
        response = await post(client, BODY, **options | moments)
        assert (response.status_code, response.json()["status"]) == (status, status), options
        assert response.headers["content-type"] == "application/problem+json"
    assert not any(await kept())
    outcomes = Counter(outcome for _, _, outcome in FORGED)
    assert {name: testing.metric(running, "webhooks_total", outcome=name) for name in outcomes} == outcomes


async def test_what_is_signed_and_broken_changes_nothing(client: httpx.AsyncClient) -> None:
    for body in BROKEN:
        response = await post(client, body)
        assert response.status_code == 422, body[:200]
        assert response.json()["detail"].startswith(("Not accepted: ", "The JSON is nested"))
    assert not any(await kept())


async def test_five_megabytes_are_refused_unread(client: httpx.AsyncClient, running: Service) -> None:
    body = encoded(payload([day(1)], padding="x" * 5_000_000))
    response = await post(client, body)
    assert (response.status_code, response.json()["title"]) == (413, "Request Entity Too Large")

    async def endless() -> Any:
        endless.asked += 1  # type: ignore[attr-defined]
        return {"type": "http.request", "body": b"x" * 65536, "more_body": True}

    endless.asked = 0  # type: ignore[attr-defined]
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    # Without a length, it is cut off where it becomes too long.
    headers = [(b"content-type", b"application/json"), (b"vitals-signature", b"t=1,v1=a")]
    await app(
        {"type": "http", "method": "POST", "path": "/webhooks/aggregator", "headers": headers, "query_string": b""},
        endless,
        send,
    )
    assert sent[0]["status"] == 413
    assert endless.asked <= 1024 * 1024 // 65536 + 1  # type: ignore[attr-defined]
    assert testing.metric(running, "webhooks_total", outcome="too_large") == 2
    assert not any(await kept())


async def test_the_largest_body_is_taken(client: httpx.AsyncClient) -> None:
    body = encoded(payload([day(1)], padding="x" * (LARGEST_BODY - 400)))
    assert accepted(await post(client, body))


async def test_only_post_is_a_webhook(client: httpx.AsyncClient) -> None:
    response = await client.get("/webhooks/aggregator")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_a_kind_that_nobody_reads_is_kept_without_a_job(client: httpx.AsyncClient) -> None:
    assert accepted(await post(client, encoded(payload([], type="nutrition"))))
    (event,) = await database.fetch("SELECT state, reason FROM webhook_events")
    assert tuple(event) == ("ignored", "no metric is read from 'nutrition'")
    assert await database.fetchval("SELECT count(*) FROM roadworthy.jobs") == 0


async def test_events_that_come_together_are_committed_together_each_once(
    client: httpx.AsyncClient, running: Service
) -> None:
    bodies = [encoded(payload([day(1)], event_id=f"event-{number % 150}")) for number in range(300)]
    responses = await asyncio.gather(*(post(client, body) for body in bodies))
    assert all(map(accepted, responses))
    assert await database.fetchval("SELECT count(*) FROM webhook_events") == 150
    jobs = await testing.enqueued(running, normalise)
    assert len(jobs) < 100
    ids = sorted(id for job in jobs for id in job.arguments["events"])
    assert ids == [row["id"] for row in await database.fetch("SELECT id FROM webhook_events ORDER BY id")]


async def test_an_event_that_the_database_refuses_harms_nobody_else(
    client: httpx.AsyncClient, running: Service
) -> None:
    await database.execute("ALTER TABLE webhook_events ADD CHECK (reference <> 'cursed')")
    bodies = [encoded(payload([day(1)], event_id=f"event-{number}")) for number in range(20)]
    cursed = encoded(payload([day(1)], event_id="event-x", reference="cursed"))
    *others, refused = await asyncio.gather(*(post(client, body) for body in (*bodies, cursed)))
    assert refused.status_code == 500
    assert all(map(accepted, others))
    assert await database.fetchval("SELECT count(*) FROM webhook_events") == 20
    assert testing.metric(running, "webhooks_total", outcome="unavailable") == 1


async def test_while_the_database_is_away_senders_are_told_to_come_back(
    client: httpx.AsyncClient, running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(events: Any) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(receiving, "keep", away)
    response = await post(client, BODY)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert testing.metric(running, "webhooks_total", outcome="unavailable") == 1


async def test_what_the_database_cannot_do_now_can_be_sent_again(client: httpx.AsyncClient) -> None:
    await database.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'no space left' USING ERRCODE = 'disk_full'; END $$;"
        " CREATE TRIGGER fail BEFORE INSERT ON webhook_events FOR EACH STATEMENT EXECUTE FUNCTION fail()"
    )
    bodies = [encoded(payload([day(1)], event_id=f"event-{number}")) for number in range(20)]
    responses = await asyncio.gather(*(post(client, body) for body in bodies))
    assert {response.status_code for response in responses} == {503}
    await database.execute("DROP TRIGGER fail ON webhook_events")
    assert accepted(await post(client, bodies[0]))


async def test_without_a_secret_nothing_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITALS_SECRET_AGGREGATOR", raising=False)
    async with testing.running(service):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://vitals.test") as client:
            response = await post(client, BODY)
        assert response.status_code == 503
        assert "set VITALS_SECRET_AGGREGATOR" in response.json()["detail"]
        assert not any(await kept())


async def test_the_route_is_a_label_that_no_caller_chooses(client: httpx.AsyncClient, running: Service) -> None:
    await post(client, BODY)
    await post(client, BODY, provider="made-up")
    labels = {"method": "POST", "route": "/webhooks/{provider}"}
    assert testing.metric(running, "http_requests_total", **labels, status="202") == 1
    assert testing.metric(running, "http_requests_total", **labels, status="404") == 1


async def test_a_later_day_is_another_event(client: httpx.AsyncClient, running: Service) -> None:
    for number, moment in enumerate((MORNING, MORNING + timedelta(days=1))):
        body = encoded(
            payload(
                [day(100 * (number + 1), start=moment)], event_id=f"e{number}", created_at=moment + timedelta(hours=20)
            )
        )
        assert accepted(await post(client, body))
    await testing.drain(running)
    rows = await database.fetch("SELECT value FROM observations ORDER BY started_at")
    assert [row["value"] for row in rows] == [100, 200]


async def test_a_webhook_that_is_cut_off_while_the_database_hangs_counts_as_not_kept(
    client: httpx.AsyncClient, running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def hang(events: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(receiving, "keep", hang)
    sending = asyncio.create_task(post(client, BODY))
    await asyncio.wait_for(asked.wait(), 60)
    sending.cancel()
    await asyncio.wait([sending], timeout=60)
    assert testing.metric(running, "webhooks_total", outcome="unavailable") == 1
