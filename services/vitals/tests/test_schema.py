"""What the tables and the code both know is the same."""

from __future__ import annotations

from roadworthy import Service
from vitals.confidence.resolution import DEFAULT_PRIORITY
from vitals.payloads.metrics import METRICS
from vitals.payloads.normalise import source_name
from vitals.service import database


async def test_metrics_have_the_same_names_and_units(running: Service) -> None:
    del running
    rows = await database.fetch("SELECT name, unit FROM metrics")
    assert {row["name"]: row["unit"] for row in rows} == {metric.name: metric.unit for metric in METRICS.values()}


async def test_sources_are_named_as_payloads_name_them(running: Service) -> None:
    del running
    names = [row["name"] for row in await database.fetch("SELECT name FROM sources")]
    assert [source_name(name) for name in names] == names
    default = await database.fetchval(
        "SELECT column_default FROM information_schema.columns"
        " WHERE table_name = 'sources' AND column_name = 'priority'"
    )
    assert int(default) == DEFAULT_PRIORITY
