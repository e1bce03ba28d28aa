"""The source that counts: by confidence, then priority, then recency, in whatever order they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from roadworthy import Service
from vitals.confidence.resolution import DEFAULT_PRIORITY, Candidate, best
from vitals.service import database

NOW = datetime(2026, 3, 1, tzinfo=UTC)

candidates = st.builds(
    Candidate,
    source=st.sampled_from(["garmin", "oura", "withings", "manual", "fitbit"]),
    value=st.floats(1, 100),
    measured_at=st.sampled_from([NOW, NOW - timedelta(hours=1), NOW - timedelta(days=3)]),
    confidence=st.integers(0, 100) | st.sampled_from([50, 60]),
    priority=st.sampled_from([10, 20, 50]),
)


def candidate(source: str, confidence: int = 50, priority: int = 50, hours: float = 0) -> Candidate:
    return Candidate(source, 1.0, NOW - timedelta(hours=hours), confidence, priority)


def test_nothing_of_none() -> None:
    assert best([]) is None


def test_confidence_goes_first() -> None:
    trusted = candidate("oura", confidence=51, priority=90, hours=99)
    assert best([candidate("garmin", confidence=50, priority=1), trusted]) == trusted


def test_then_priority() -> None:
    preferred = candidate("oura", priority=10, hours=99)
    assert best([candidate("garmin", priority=20), preferred]) == preferred


def test_then_recency_then_the_name() -> None:
    assert best([candidate("garmin", hours=1), candidate("oura")]) == candidate("oura")
    assert best([candidate("oura"), candidate("garmin")]) == candidate("garmin")


@given(st.lists(candidates, max_size=6, unique_by=lambda one: one.source), st.randoms())
def test_the_order_that_they_come_in_does_not_matter(found: list[Candidate], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert best(shuffled) == best(found)


@given(st.lists(candidates, min_size=1, max_size=6, unique_by=lambda one: one.source))
def test_nobody_stands_above_the_best(found: list[Candidate]) -> None:
    winner = best(found)
    assert winner is not None
    assert winner.confidence == max(one.confidence for one in found)
    equal = [one for one in found if one.confidence == winner.confidence]
    assert winner.priority == min(one.priority for one in equal)
    assert winner.measured_at == max(one.measured_at for one in equal if one.priority == winner.priority)


async def test_the_view_in_sql_chooses_the_same(running: Service) -> None:
    """Every combination of a tie, through the tables and the view."""
    del running
    grid = [
        Candidate(source, 60.0 + number, NOW - timedelta(hours=hours), confidence, priority)
        for number, (source, hours, confidence, priority) in enumerate(
            [
                ("alpha", 0, 50, 50),
                ("beta", 0, 50, 50),
                ("gamma", 0, 50, 10),
                ("delta", 1, 50, 10),
                ("epsilon", 5, 60, 90),
                ("zeta", 2, 60, 90),
                ("eta", 0, 0, DEFAULT_PRIORITY),
                ("theta", 0, 0, 40),
            ]
        )
    ]
    for one in grid:
        await database.execute(
            "INSERT INTO sources (name, kind, priority) VALUES ($1, 'app', $2)", one.source, one.priority
        )
    expected = {}
    # Each subset is a user of its own.
    for subset in range(1, 2 ** len(grid)):
        chosen = [one for bit, one in enumerate(grid) if subset >> bit & 1]
        winner = best(chosen)
        assert winner is not None
        expected[f"user-{subset}"] = (winner.source, winner.value)
    names = list(expected)
    await database.execute("INSERT INTO users (reference) SELECT unnest($1::text[])", names)
    pairs = [
        (f"user-{subset}", one)
        for subset in range(1, 2 ** len(grid))
        for bit, one in enumerate(grid)
        if subset >> bit & 1
    ]
    await database.execute(
        "INSERT INTO observations (user_id, metric, source, started_at, measured_at, value, event_at, event_id)"
        " SELECT users.id, 'weight', new.source, new.at, new.at, new.value, new.at, 'x'"
        " FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::float8[]) AS new (reference, source, at, value)"
        " JOIN users USING (reference)",
        [name for name, _ in pairs],
        [one.source for _, one in pairs],
        [one.measured_at for _, one in pairs],
        [one.value for _, one in pairs],
    )
    scored = [(name, one) for name, one in pairs if one.confidence]
    # 50 and 60 as parts that add up to them.
    await database.execute(
        "INSERT INTO confidences (user_id, metric, source, reliability, freshness, frequency, agreement)"
        " SELECT users.id, 'weight', new.source, 20, 10, 10, new.confidence - 40"
        " FROM unnest($1::text[], $2::text[], $3::int[]) AS new (reference, source, confidence)"
        " JOIN users USING (reference)",
        [name for name, _ in scored],
        [one.source for _, one in scored],
        [one.confidence for _, one in scored],
    )
    await database.execute("REFRESH MATERIALIZED VIEW internal.latest_unified_metrics")
    rows = await database.fetch(
        "SELECT reference, source, value FROM internal.latest_unified_metrics JOIN users ON users.id = user_id"
    )
    assert {row["reference"]: (row["source"], row["value"]) for row in rows} == expected
