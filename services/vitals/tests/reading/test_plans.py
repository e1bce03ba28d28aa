"""At two hundred thousand values no statement costs by the length of a history: each uses an index."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from people import add_user, key_of

from roadworthy import Service
from vitals.reading import latest, metrics
from vitals.reading.access import reading_as
from vitals.service import database

USERS, DAYS = 20, 210
FILL = f"""
INSERT INTO users (reference) SELECT 'user-' || n FROM generate_series(1, {USERS}) AS n;
INSERT INTO observations (user_id, metric, source, started_at, measured_at, value, event_at, event_id)
SELECT u.id, m.name, s.name, day.at, day.at, 1, day.at, ''
FROM users AS u, metrics AS m, (VALUES ('garmin'), ('manual')) AS s (name),
     (SELECT now() - n * interval '1 day' AS at FROM generate_series(1, {DAYS}) AS n) AS day;
"""  # noqa: S608
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def plan_of(key: str, sql: str, arguments: tuple[Any, ...], *, generic: bool) -> list[dict[str, Any]]:
    """Run a statement as the key's holder and return the nodes of its plan, with what each really did."""
    async with reading_as(database, key) as connection:
        mode = "force_generic_plan" if generic else "force_custom_plan"
        await connection.execute("SELECT set_config('plan_cache_mode', $1, true)", mode)
        [explained] = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments)
    return list(nodes(explained["Plan"]))


def read_from(plan: list[dict[str, Any]], relation: str) -> float:
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in plan
        if node.get("Relation Name") == relation
    )


async def test_what_people_read_costs_by_what_is_shown(running: Service) -> None:
    await add_user("ada")
    async with database.acquire() as connection:
        await connection.execute(FILL, timeout=100)
        await connection.execute("VACUUM ANALYZE observations", timeout=100)
    await latest.refresh(database, force=True)
    await database.execute("ANALYZE")
    user = await database.fetchval("SELECT id FROM users WHERE reference = 'user-7'")
    key = await key_of("user", "user-7")
    cases: tuple[tuple[str, tuple[Any, ...], str, int], ...] = (
        ("latest", (user,), "latest_unified_metrics", 24),
        ("history", (user, "weight", EARLIEST, LATEST, None, None, 10, None), "observations", 30),
        ("history", (user, "weight", EARLIEST, LATEST, datetime.now(UTC), "garmin", 10, "manual"), "observations", 30),
        ("sources_of_metric", (user, "weight"), "observations", 2),
    )
    for name, arguments, relation, most in cases:
        for generic in (False, True):
            plan = await plan_of(key, metrics.QUERIES[name], arguments, generic=generic)
            assert 0 < read_from(plan, relation) <= most, (
                f"{name} (generic={generic}) reads {read_from(plan, relation)}"
            )
            whole = [node for node in plan if node["Node Type"] == "Seq Scan" and node["Relation Name"] == relation]
            assert whole == [], f"{name} (generic={generic}) reads {relation} whole"


async def test_a_refresh_costs_by_the_number_of_sources_not_of_values(running: Service) -> None:
    async with database.acquire() as connection:
        await connection.execute(FILL, timeout=100)
    definition = await database.fetchval("SELECT pg_get_viewdef('internal.latest_unified_metrics'::regclass)")
    # Without statistics of the day, as after a large import.
    async with database.transaction() as connection:
        await connection.execute(latest.QUERIES["steer"])
        [explained] = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {definition}")
    streams = USERS * 24 * 2
    assert 2 * streams <= read_from(list(nodes(explained["Plan"])), "observations") <= 2 * streams + 2
