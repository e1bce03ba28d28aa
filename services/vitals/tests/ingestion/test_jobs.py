"""The jobs of events: a bad one ends in the dead letters with its reason and harms no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from events import MORNING, day, encoded, payload
from ingestion.test_apply import keep, observed

from roadworthy import Database, DeadFilter, Service, seconds, testing
from vitals.confidence.jobs import calculate_confidences
from vitals.ingestion import apply as applying
from vitals.ingestion import jobs
from vitals.ingestion.apply import Applied
from vitals.service import database


async def test_a_poison_payload_dies_alone_with_its_reason_and_can_be_retried(
    running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, broken, other = await keep(
        encoded(payload([day(1)], event_id="good")),
        encoded(payload({"no": "records"}, event_id="broken")),
        encoded(payload([day(3)], event_id="other", reference="noah")),
    )
    await jobs.normalise.enqueue(events=[good, broken, other])
    await testing.drain(running, with_scheduled=True)
    rows = await database.fetch("SELECT event_id, state, reason FROM webhook_events ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("good", "processed", None),
        ("broken", "failed", "data is missing, or no list of records"),
        ("other", "processed", None),
    ]
    (dead,) = await database.fetch("SELECT * FROM roadworthy.dead_jobs")
    assert (dead["job"], dead["arguments"], dead["message"]) == (
        "normalise_event",
        {"event": broken},
        "data is missing, or no list of records",
    )
    assert (dead["attempt"], dead["error_class"]) == (1, "vitals.ingestion.jobs.PayloadUnreadable")

    # We learn to read it: a retry from the dead letters is all that is needed.
    repaired = encoded(payload([day(2)], event_id="broken"))
    original = applying.normalise
    monkeypatch.setattr(applying, "normalise", lambda body: original(repaired if b'"broken"' in body else body))
    await running.dead_letters.retry(DeadFilter(job="normalise_event"), who="operator")
    await testing.drain(running, with_scheduled=True)
    assert await database.fetchval("SELECT state FROM webhook_events WHERE event_id = 'broken'") == "processed"
    assert await database.fetchval("SELECT reason FROM webhook_events WHERE event_id = 'broken'") is None


async def test_a_batch_that_failed_goes_on_one_by_one(running: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [encoded(payload([day(n)], event_id=f"e{n}", reference=f"user-{n}")) for n in range(5)]
    ids = await keep(*bodies)
    original = applying.apply
    sizes = []

    async def fragile(on: Database, events: Sequence[int], *states: Any) -> Applied:
        sizes.append(len(events))
        if ids[2] in events:
            raise RuntimeError("what nobody expected")
        return await original(on, events, *states)

    monkeypatch.setattr(applying, "apply", fragile)
    await jobs.normalise.enqueue(events=ids)
    await testing.drain(running, with_scheduled=True)
    assert sizes[0] == 5
    assert set(sizes[1:]) == {1}
    assert len(await observed()) == 4
    rows = await database.fetch("SELECT event_id, state, reason FROM webhook_events WHERE state <> 'processed'")
    assert [tuple(row) for row in rows] == [("e2", "failed", "its last attempt did not end")]
    (dead,) = await database.fetch("SELECT job, message FROM roadworthy.dead_jobs")
    assert tuple(dead) == ("normalise_event", "what nobody expected")


async def test_a_burst_of_events_makes_one_calculation(running: Service) -> None:
    for number in range(20):
        body = encoded(payload([day(number, start=MORNING.replace(day=number + 1))], event_id=f"e{number}"))
        (event,) = await keep(body)
        await jobs.normalise.enqueue(events=[event])
    await testing.drain(running)
    user = await database.fetchval("SELECT id FROM users")
    (waiting,) = await testing.enqueued(running, calculate_confidences)
    assert waiting.arguments == {"users": [user]}
    await testing.advance(running, seconds(15))
    await testing.drain(running)
    assert await database.fetchval("SELECT count(*) FROM stale_confidences") == 0
    assert await database.fetchval("SELECT reliability FROM confidences WHERE metric = 'steps'") == 38


async def test_the_backlog_is_measured(running: Service) -> None:
    await keep(encoded(payload([day(1)], event_id="a")), encoded(payload([day(1)], event_id="b")))
    await database.execute("UPDATE webhook_events SET received_at = now() - interval '90 s' WHERE event_id = 'a'")
    (failing,) = await keep(encoded(payload("x", event_id="c")))
    await applying.fail(database, failing, "broken")
    await jobs.measure_backlog()
    assert testing.metric(running, "events_unfinished", state="pending") == 2
    assert testing.metric(running, "events_unfinished", state="failed") == 1
    assert testing.metric(running, "events_oldest_pending_seconds") >= 90


async def test_old_events_are_forgotten_failed_ones_later(running: Service) -> None:
    del running
    await keep(*(encoded(payload([day(1)], event_id=name)) for name in "abcd"))
    for name, state, days in (("a", "processed", 91), ("b", "failed", 91), ("c", "failed", 300), ("d", "processed", 1)):
        await database.execute(
            "UPDATE webhook_events SET state = $2, received_at = now() - $3 * interval '1 day' WHERE event_id = $1",
            name,
            state,
            days,
        )
    await jobs.forget_old_events()
    rows = await database.fetch("SELECT event_id FROM webhook_events ORDER BY 1")
    assert [row["event_id"] for row in rows] == ["b", "d"]
