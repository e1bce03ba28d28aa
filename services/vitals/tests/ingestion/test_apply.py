"""Applied once, twice, in another order or all at once, the same events leave the same observations."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from events import MORNING, day, encoded, payload, weighing

from roadworthy import Service
from vitals.confidence.calculate import calculate
from vitals.ingestion import apply as applying
from vitals.ingestion.apply import EVERY, Applied
from vitals.service import database
from vitals.webhooks.events import NewEvent, store


async def keep(*bodies: bytes, kind: str = "daily") -> list[int]:
    """Keep events as the endpoint does, but for their jobs; return their ids in order."""
    import msgspec

    batches: list[list[int]] = []
    for body in bodies:
        head = msgspec.json.decode(body)
        event = NewEvent(
            "aggregator",
            head["event_id"],
            head.get("type", kind),
            head["user"]["reference"],
            datetime.fromisoformat(head["created_at"]),
            body,
        )

        async def enqueue(ids: list[list[int]]) -> None:
            batches.extend(ids)

        await store(database, [event], enqueue)
    return list(itertools.chain.from_iterable(batches))


async def observed() -> list[tuple[Any, ...]]:
    rows = await database.fetch(
        "SELECT u.reference, metric, source, started_at, measured_at, value, device, event_at, event_id"
        " FROM observations JOIN users u ON u.id = user_id ORDER BY 1, 2, 3, 4"
    )
    return [tuple(row) for row in rows]


async def apply(events: Sequence[int], states: Sequence[str] = EVERY) -> Applied:
    return await applying.apply(database, events, states)


def accounts() -> list[bytes]:
    """Several accounts of the same three days of two people, from two sources, each later one of more steps."""
    bodies = []
    for reference, source, days, hour in itertools.product(("mira", "noah"), ("GARMIN", "OURA"), range(3), (8, 14, 20)):
        start = MORNING + timedelta(days=days)
        records = [day(1000 * hour + days, start=start, hours=hour)]
        created = start + timedelta(hours=hour)
        name = f"{reference}-{source}-{days}-{hour}"
        bodies.append(encoded(payload(records, event_id=name, reference=reference, source=source, created_at=created)))
    # Two of one moment, which only their ids order.
    for event_id, steps in (("tie-b", 2), ("tie-a", 1)):
        bodies.append(encoded(payload([day(steps, start=MORNING - timedelta(days=9))], event_id=event_id)))
    return bodies


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_any_batches_any_repetition(running: Service, seed: int) -> None:
    del running
    draw = Random(seed)
    bodies = accounts()
    draw.shuffle(bodies)
    ids = await keep(*bodies)
    assert len(ids) == len(bodies)
    repeated = ids + draw.sample(ids, 20)
    draw.shuffle(repeated)
    while repeated:
        size = draw.randrange(1, 12)
        batch, repeated = repeated[:size], repeated[size:]
        await apply(batch)
    found = await observed()
    assert [(who, what, source, value) for who, what, source, *_, value, _, _, _ in found] == [
        ("mira", "steps", "garmin", 2.0),
        *[("mira", "steps", "garmin", 20000.0 + number) for number in range(3)],
        *[("mira", "steps", "oura", 20000.0 + number) for number in range(3)],
        *[("noah", "steps", "garmin", 20000.0 + number) for number in range(3)],
        *[("noah", "steps", "oura", 20000.0 + number) for number in range(3)],
    ]
    assert {row[-1] for row in found} == {
        *(
            f"{who}-{source}-{days}-20"
            for who in ("mira", "noah")
            for source in ("GARMIN", "OURA")
            for days in range(3)
        ),
        "tie-b",
    }


async def test_many_at_once_wait_for_one_another_and_never_in_a_circle(running: Service) -> None:
    """Overlapping batches, calculations among them, users whom several add at once: nothing lost, no deadlock."""
    del running
    draw = Random(1)
    bodies = accounts()
    draw.shuffle(bodies)
    ids = await keep(*bodies)

    async def one() -> None:
        order = Random(draw.random())
        for _ in range(6):
            await apply(order.sample(ids, 15))
            users = [row["id"] for row in await database.fetch("SELECT id FROM users")]
            order.shuffle(users)
            await calculate(database, users)

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(one())
    await apply(ids)
    at_once = await observed()
    await database.execute("TRUNCATE observations")
    for event in ids:
        await apply([event])
    assert await observed() == at_once


async def test_what_changes_nothing_makes_nobody_stale(running: Service) -> None:
    del running
    newer = encoded(payload([day(200)], event_id="newer", created_at=MORNING + timedelta(hours=22)))
    older = encoded(payload([day(100)], event_id="older", created_at=MORNING + timedelta(hours=10)))
    first, second = await keep(newer, older)
    user = (await apply([first])).stale
    assert len(user) == 1
    assert (await apply([first])).stale == (), "it is stale already, and its calculation on the way"
    await database.execute("DELETE FROM stale_confidences")
    assert (await apply([second])).stale == ()
    assert [row[5] for row in await observed()] == [200.0]


async def test_states_tell_what_became_of_each(running: Service) -> None:
    del running
    good, partly, nothing, broken = await keep(
        encoded(payload([day(1)], event_id="good")),
        encoded(payload([day(2), day(-5, start=MORNING + timedelta(hours=1))], event_id="partly", reference="noah")),
        encoded(payload([], event_id="nothing")),
        encoded(payload("no records", event_id="broken")),
    )
    applied = await apply([good, partly, nothing, broken], ["pending"])
    assert applied.refused == {broken: "data is missing, or no list of records"}
    assert (len(applied.lags), applied.observations, applied.values_refused) == (3, 2, 1)
    rows = await database.fetch("SELECT event_id, state, observations, reason FROM webhook_events ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("good", "processed", 1, None),
        ("partly", "processed", 1, "data[1].distance_data.steps is -5 count, not within 0 and 250000 count"),
        ("nothing", "ignored", 0, "it holds no value for us"),
        ("broken", "pending", None, None),
    ]
    # Once done, an event is not applied again, unless that is asked for.
    assert (await apply([good, partly, nothing], ["pending"])).lags == ()


async def test_all_or_nothing(running: Service) -> None:
    del running
    first, second = await keep(
        encoded(payload([day(1)], event_id="a")), encoded(payload([weighing(70)], event_id="b", type="body"))
    )
    await database.execute("ALTER TABLE observations ADD CHECK (metric <> 'weight')")
    with pytest.raises(Exception, match="violates check constraint"):
        await apply([first, second])
    assert await observed() == []
    assert await database.fetchval("SELECT count(*) FROM webhook_events WHERE state = 'pending'") == 2


async def test_a_source_never_heard_of_becomes_known(running: Service) -> None:
    del running
    await apply(await keep(encoded(payload([day(1)], source="New Gadget"))))
    assert tuple((await database.fetchrow("SELECT kind, priority FROM sources WHERE name = 'new_gadget'")) or ()) == (
        "app",
        50,
    )


async def test_a_failure_does_not_undo_a_success(running: Service) -> None:
    del running
    (event,) = await keep(encoded(payload([day(1)])))
    await applying.fail(database, event, "too soon")
    assert await database.fetchval("SELECT state || ': ' || reason FROM webhook_events") == "failed: too soon"
    await apply([event], applying.UNFINISHED)
    await applying.fail(database, event, "too late")
    assert await database.fetchval("SELECT state FROM webhook_events") == "processed"
