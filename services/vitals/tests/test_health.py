"""What Vitals adds to its health report, and that each part of it can turn into a warning."""

from __future__ import annotations

from people import add_user, confide, observe

from roadworthy import Reading, Service
from vitals import health
from vitals.reading import latest
from vitals.service import database


def by_name(readings: object) -> dict[str, Reading]:
    return {reading.name: reading for reading in readings}  # type: ignore[attr-defined]


async def test_mean_confidence_warns_when_it_is_low(running: Service) -> None:
    (nothing,) = await health.confidence()
    assert (nothing.status, nothing.output) == ("pass", "nothing has been measured yet")
    user = await add_user("ada")
    for metric, confidence in (("weight", 20), ("steps", 59)):
        await observe(user, metric, "manual", 1)
        await confide(user, metric, "manual", confidence)
    await latest.refresh(database, force=True)
    found = by_name(await health.confidence())
    assert (found["confidence:mean"].value, found["confidence:mean"].status) == (39.5, "warn")
    assert found["confidence:metrics"].value == 2
    await database.execute("UPDATE confidences SET reliability = 40")
    await latest.refresh(database, force=True)
    assert by_name(await health.confidence())["confidence:mean"].status == "pass"


async def test_webhooks_warn_when_they_fail_or_wait(running: Service) -> None:
    assert set(by_name(await health.webhooks())) == {"webhooks:pending", "webhooks:oldestPending"}
    await database.execute(
        "INSERT INTO webhook_events (provider, event_id, kind, reference, event_at, body, state) "
        "SELECT 'aggregator', n, 'body', 'ada', now(), '', CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'processed' END "
        "FROM generate_series(1, 50) AS n"
    )
    found = by_name(await health.webhooks())
    assert (found["webhooks:success"].value, found["webhooks:success"].status) == (90.0, "warn")
    assert (found["webhooks:pending"].value, found["webhooks:oldestPending"].value) == (0, 0)
    await database.execute(
        "UPDATE webhook_events SET state = 'pending', received_at = now() - interval '6 minutes' WHERE state = 'failed'"
    )
    found = by_name(await health.webhooks())
    assert (found["webhooks:success"].value, found["webhooks:success"].status) == (100.0, "pass")
    assert (found["webhooks:pending"].value, found["webhooks:oldestPending"].status) == (5, "warn")


async def test_latest_metrics_warn_when_they_lag_or_cannot_be_refreshed(running: Service) -> None:
    found = by_name(await health.latest_metrics())
    assert (found["latest_metrics:lag"].value, found["latest_metrics:lag"].status) == (0, "pass")
    await observe(await add_user("ada"), "weight", "manual", 1)
    await database.execute("UPDATE internal.latest_changes SET changed_at = now() - interval '10 minutes'")
    await database.execute("UPDATE internal.latest_refresh SET refreshed_at = now() - interval '20 minutes'")
    lag = by_name(await health.latest_metrics())["latest_metrics:lag"]
    assert lag.status == "warn"
    assert "overdue" in (lag.output or "")
    await database.execute(latest.QUERIES["note_failure"], "OSError: disk full")
    assert "disk full" in (by_name(await health.latest_metrics())["latest_metrics:lag"].output or "")
