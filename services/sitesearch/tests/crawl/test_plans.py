"""With a hundred thousand addresses waiting, each statement of a visit reads an index, and a handful of rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from roadworthy import Service, load_queries
from sitesearch.service import pages

ADDRESSES = 100_000
QUERIES = load_queries("sitesearch.crawl")

# Two crawls: of the one a level waits with eight addresses queued, of the other everything is done.
FILL = f"""
INSERT INTO sites (name, start_url) VALUES ('large', 'https://large.example/'), ('done', 'https://done.example/');
INSERT INTO crawls (site_id, settings, level, width) VALUES (1, '{{}}', 3, 16), (2, '{{}}', 3, 16);
INSERT INTO crawl_urls (crawl_id, url, shape, depth, state, due_at)
SELECT 1, 'https://large.example/' || n, 'https://large.example/#', 2 + n % 3,
       CASE WHEN n <= 8 THEN 'queued' WHEN n % 3 = 0 THEN 'fetched' ELSE 'found' END, now()
FROM generate_series(1, {ADDRESSES}) AS n;
INSERT INTO crawl_urls (crawl_id, url, shape, depth, state, finished_at)
SELECT 2, 'https://done.example/' || n, 'https://done.example/#', 2, 'fetched', now()
FROM generate_series(1, {ADDRESSES}) AS n;
INSERT INTO crawl_tallies (crawl_id, shard, outcome, urls)
SELECT 1, n, 'found_page', 1 FROM generate_series(0, 15) AS n;
INSERT INTO pages (site_id, crawl_id, url, depth, content_hash, extracted_by)
SELECT 1, 1, 'https://large.example/' || n, 2, '', '' FROM generate_series(3, 3000, 3) AS n;
ANALYZE;
"""  # noqa: S608

KNOWN, NEW = [f"https://large.example/{n}" for n in range(1, 201)], [f"https://large.example/new{n}" for n in range(20)]
FOUND = [*KNOWN, *NEW]
URL = "https://large.example/5"
LATER = timedelta(minutes=10)

CASES: list[tuple[str, tuple[Any, ...], set[str], int]] = [
    ("load_visit", (1, URL), {"crawl_urls_pkey"}, 1),
    ("address_state", (1, URL), {"crawl_urls_pkey"}, 1),
    ("settle_address", (1, URL, "fetched", None, None, None), set(), 16),
    ("reschedule", (1, URL, 1, None, None, LATER), set(), 16),
    ("add_addresses", (1, FOUND, FOUND, 4, "page", 10**6), {"crawl_urls_pkey"}, 300),
    ("take_next", (1, timedelta(0)), {"crawl_urls_found", "crawl_urls_queued"}, 100),
    ("any_queued", (1,), {"crawl_urls_queued"}, 10),
    ("any_queued", (2,), {"crawl_urls_queued"}, 0),
    ("any_found", (2,), {"crawl_urls_found"}, 0),
    ("overdue", (LATER,), set(), 10),
]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def plan_of(sql: str, arguments: tuple[Any, ...], *, generic: bool) -> list[dict[str, Any]]:
    """Run a statement as a prepared one, take it back, and return the nodes of its plan with what each really did."""
    async with pages.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            mode = "force_generic_plan" if generic else "force_custom_plan"
            await connection.execute("SELECT set_config('plan_cache_mode', $1, true)", mode)
            [explained] = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments)
        finally:
            await transaction.rollback()
    return list(nodes(explained["Plan"]))


@pytest.mark.timeout(180)
async def test_no_visit_costs_more_for_what_waits(running: Service) -> None:
    async with pages.acquire() as connection:
        await connection.execute(FILL, timeout=150)
    for name, arguments, indexes, most in CASES:
        for generic in (False, True):
            plan = await plan_of(QUERIES[name], arguments, generic=generic)
            used = {node.get("Index Name") for node in plan}
            assert indexes <= used, f"{name} (generic={generic}) uses {used}, not {indexes}"
            read = sum(
                (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
                for node in plan
                if node.get("Relation Name") == "crawl_urls" and "Scan" in node["Node Type"]
            )
            assert read <= most, f"{name} (generic={generic}) reads {read} addresses"
