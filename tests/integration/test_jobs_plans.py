"""The plans of the hot statements, under statistics that lie as a queue's do.

Statistics of a queue are gathered while it is empty and used while it is full. Here every statement meets fresh
statistics, statistics of a drained table, and dead rows, and must each time walk the index meant for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from roadworthy.database import driver, queries
from schema import create_job_tables

SQL = {
    **queries.load_queries("roadworthy.jobs"),
    **queries.load_queries("roadworthy.jobs", "operations.sql"),
    **queries.load_queries("roadworthy.jobs", "flows.sql"),
}
LEASE = timedelta(seconds=60)
CLAIM = ("mail", 100, LEASE, "w")

_FILL = """
INSERT INTO roadworthy.jobs (state, queue, job, arguments, attempts, priority, run_at, enqueued_at)
SELECT 1, 'mail', 'send', '{}', 5, n % 3, now(), now() FROM generate_series(1, $1) AS n
"""


async def fresh(connection: Any, size: int) -> None:
    await connection.execute(_FILL, size)
    await connection.execute("ANALYZE roadworthy.jobs")


async def analysed_when_drained(connection: Any, size: int) -> None:
    await connection.execute(_FILL, 2_000)
    await connection.execute("DELETE FROM roadworthy.jobs")
    await connection.execute("VACUUM ANALYZE roadworthy.jobs")
    await connection.execute(_FILL, size)


async def never_analysed(connection: Any, size: int) -> None:
    await connection.execute(_FILL, size)


async def full_of_dead_rows(connection: Any, size: int) -> None:
    await connection.execute(_FILL, size)
    await connection.execute("ANALYZE roadworthy.jobs")
    for _ in range(20):
        rows = await connection.fetch(SQL["claim_jobs"], *CLAIM)
        await connection.execute(SQL["complete_done"], [row[0] for row in rows], [row[1] for row in rows])


SCENARIOS = [fresh, analysed_when_drained, never_analysed, full_of_dead_rows]


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Any]:
    opened = await driver.connect(dsn)
    await create_job_tables(opened)
    # The statistics that a test makes are to stay as they are.
    for table in ("jobs", "job_failures", "dead_jobs"):
        await opened.execute(f"ALTER TABLE roadworthy.{table} SET (autovacuum_enabled = off)")
    await opened.execute(SQL["pin_plans"])
    yield opened
    await opened.close()


async def explain(connection: Any, statement: str, *arguments: Any) -> dict[str, Any]:
    """Run a statement for its plan, and undo it."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        found = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {SQL[statement]}", *arguments)
    finally:
        await transaction.rollback()
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def on_jobs(plan: dict[str, Any]) -> set[tuple[str, str]]:
    """How the plan reads the jobs table: node types with their indexes."""
    return {
        (node["Node Type"], node.get("Index Name", ""))
        for node in nodes(plan)
        if node.get("Relation Name") == "jobs" and node["Node Type"] != "ModifyTable"
    }


def node_types(plan: dict[str, Any]) -> set[str]:
    return {node["Node Type"] for node in nodes(plan)}


def rows(plan: dict[str, Any], index: str) -> float:
    return sum(node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan) if node.get("Index Name") == index)


def buffers(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_claim_walks_the_ready_index_in_order_and_stops(connection: Any, scenario: Any) -> None:
    await scenario(connection, 20_000)
    plan = await explain(connection, "claim_jobs", *CLAIM)
    assert on_jobs(plan) == {("Index Scan", "jobs_ready"), ("Index Scan", "jobs_pkey")}
    assert not {"Sort", "Incremental Sort", "Hash Join", "Merge Join"} & node_types(plan)
    assert rows(plan, "jobs_ready") == 100
    assert rows(plan, "jobs_pkey") == 100


async def held(connection: Any) -> tuple[list[int], list[int]]:
    found = await connection.fetch(SQL["claim_jobs"], *CLAIM)
    found.sort()
    return [row[0] for row in found], [row[1] for row in found]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_outcomes_and_heartbeats_reach_their_jobs_by_primary_key(connection: Any, scenario: Any) -> None:
    await scenario(connection, 20_000)
    ids, leases = await held(connection)
    texts = [["x"] * len(ids)] * 3
    statements: dict[str, list[Any]] = {
        "complete_done": [ids, leases],
        "complete_released": [ids, leases],
        "complete_buried": [ids, leases, *texts],
        "complete_retried": [ids, leases, *texts, [timedelta(seconds=1)] * len(ids)],
        "extend_leases": [ids, leases, LEASE],
        "finish_jobs": [ids, leases, [None] * len(ids)],
        "postpone_jobs": [ids, leases, [timedelta(seconds=1)] * len(ids)],
    }
    for statement, arguments in statements.items():
        plan = await explain(connection, statement, *arguments)
        assert on_jobs(plan) == {("Index Scan", "jobs_pkey")}, statement
        assert rows(plan, "jobs_pkey") == len(ids) == 100, statement


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_promotion_and_rescue_read_only_what_they_look_for(connection: Any, scenario: Any) -> None:
    await scenario(connection, 20_000)
    await held(connection)
    await connection.execute("UPDATE roadworthy.jobs SET state = 0 WHERE id % 100 = 7 AND state = 1")
    await connection.execute("UPDATE roadworthy.jobs SET lease_expires_at = now() - interval '1s' WHERE state = 2")
    plan = await explain(connection, "promote_jobs", 50)
    assert on_jobs(plan) == {("Index Scan", "jobs_scheduled"), ("Index Scan", "jobs_pkey")}
    assert rows(plan, "jobs_scheduled") == 50
    plan = await explain(connection, "rescue_jobs", 50, "LeaseExpired", "gone")
    assert on_jobs(plan) == {("Index Scan", "jobs_running"), ("Index Scan", "jobs_pkey")}
    assert rows(plan, "jobs_running") == 50


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_claim_costs_the_same_however_many_wait(connection: Any, scenario: Any) -> None:
    touched: list[int] = []
    for size in (2_500, 40_000):
        await connection.execute("TRUNCATE roadworthy.jobs")
        await scenario(connection, size)
        touched.append(buffers(await explain(connection, "claim_jobs", *CLAIM)))
    small, large = touched
    assert large < small * 2, f"{small} buffers at 2,500 waiting, {large} at 40,000"


async def test_a_claim_of_stale_statistics_returns_what_was_asked(connection: Any) -> None:
    await analysed_when_drained(connection, 20_000)
    taken: set[int] = set()
    for limit in (1, 10, 100, 500):
        found = await connection.fetch(SQL["claim_jobs"], "mail", limit, LEASE, "w")
        assert len(found) == limit
        taken.update(row[0] for row in found)
    assert len(taken) == 611


async def claim_and_finish(connection: Any, count: int) -> tuple[int, Any, int]:
    """Drain `count` jobs in batches; return the place of the last."""
    place: tuple[int, Any, int] | None = None
    for _ in range(count // 100):
        found = await connection.fetch(SQL["claim_jobs"], *CLAIM)
        await connection.execute(SQL["complete_done"], [row[0] for row in found], [row[1] for row in found])
        place = max((row[8], row[9], row[0]) for row in found)
    assert place is not None
    return place


async def test_a_claim_from_the_frontier_passes_no_dead_rows_though_a_transaction_keeps_them(
    connection: Any, dsn: str
) -> None:
    await connection.execute(
        "INSERT INTO roadworthy.jobs (state, queue, job, arguments, attempts, priority, run_at, enqueued_at) "
        "SELECT 1, 'mail', 'send', '{}', 5, 0, now() + n * interval '1us', now() FROM generate_series(1, 50000) AS n"
    )
    holder = await driver.connect(dsn)
    try:
        await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM roadworthy.jobs LIMIT 1")
        whole: list[int] = []
        after: list[int] = []
        for dead in (10_000, 30_000):
            priority, run_at, id = await claim_and_finish(connection, dead)
            whole.append(buffers(await explain(connection, "claim_jobs", *CLAIM)))
            spans = ([-32769, priority], [run_at, run_at], [0, id], [priority, 32768])
            plan = await explain(connection, "claim_jobs_after", *CLAIM, *spans)
            after.append(buffers(plan))
            assert on_jobs(plan) == {("Index Scan", "jobs_ready"), ("Index Scan", "jobs_pkey")}
            assert not {"Sort", "Incremental Sort", "Hash Join", "Merge Join"} & node_types(plan)
            assert rows(plan, "jobs_ready") == 100
    finally:
        await holder.close()
    (few, many), (few_whole, many_whole) = after, whole
    assert many - few < (many_whole - few_whole) / 4, f"{after} buffers from the frontier, {whole} from the beginning"


async def test_one_job_and_a_page_of_jobs_are_found_without_reading_all(connection: Any) -> None:
    await connection.execute("SET enable_seqscan = on; SET enable_bitmapscan = on; SET enable_sort = on")
    touched: list[int] = []
    for size in (2_500, 40_000):
        await connection.execute("TRUNCATE roadworthy.jobs")
        await fresh(connection, size)
        newest = await connection.fetchval("SELECT max(id) FROM roadworthy.jobs")
        page = buffers(await explain(connection, "list_jobs", None, None, None, 2**63 - 1, 50))
        one = buffers(await explain(connection, "list_jobs", None, None, None, newest - size // 2, 1))
        touched.append(page + one)
    assert touched[1] < touched[0] * 2, f"{touched} buffers at 2,500 and at 40,000 jobs"


_FINISHED = """
INSERT INTO roadworthy.finished_jobs
    (id, queue, job, arguments, priority, attempt, attempts, enqueued_at, finished_at, keep_until, cancelled)
SELECT -n, 'mail', 'send', '{}', 0, 1, 5, now(), now(), now() + (n - 50) * interval '1 minute', false
FROM generate_series(1, $1) AS n
"""


async def test_jobs_that_are_kept_cost_claims_and_completions_nothing(connection: Any) -> None:
    touched: list[list[int]] = []
    for kept in (0, 50_000):
        await connection.execute("TRUNCATE roadworthy.jobs, roadworthy.finished_jobs")
        await fresh(connection, 2_500)
        await connection.execute("UPDATE roadworthy.jobs SET options = '{\"keep\": 60}'")
        await connection.execute(_FINISHED, kept)
        await connection.execute("VACUUM ANALYZE roadworthy.jobs, roadworthy.finished_jobs")
        claim = buffers(await explain(connection, "claim_jobs", *CLAIM))
        ids, leases = await held(connection)
        plain = buffers(await explain(connection, "complete_done", ids, leases))
        finish = buffers(await explain(connection, "finish_jobs", ids, leases, ["1"] * len(ids)))
        touched.append([claim, plain, finish])
    for few, many in zip(*touched, strict=True):
        # A level more of the index on each of the hundred inserts is all that a large table may add.
        assert many < few * 1.5 + 200, touched


async def test_pruning_reads_no_more_than_what_is_due(connection: Any) -> None:
    touched: list[int] = []
    for kept in (2_000, 50_000):
        await connection.execute("TRUNCATE roadworthy.finished_jobs")
        await connection.execute(_FINISHED, kept)
        await connection.execute("VACUUM ANALYZE roadworthy.finished_jobs")
        plan = await explain(connection, "prune_finished_jobs", 40)
        assert rows(plan, "finished_jobs_keep_until") == 40
        touched.append(buffers(plan))
    assert touched[1] < touched[0] * 2, touched


_FLOW = """
INSERT INTO roadworthy.jobs
    (id, state, queue, job, arguments, attempts, priority, run_at, enqueued_at, options, waits_for, leads)
SELECT n, CASE n WHEN $1 + 1 THEN 5 ELSE 1 END, 'mail', 'send', '{}', 5, 0, now(), now(), '{"workflow": 1}',
    CASE n WHEN $1 + 1 THEN $1 ELSE 0 END, n <= $1
FROM generate_series(1, $1::int + 1) AS n
"""


async def test_the_end_of_a_batch_costs_the_same_however_many_belong_to_it(connection: Any) -> None:
    touched: list[int] = []
    for members in (2_000, 20_000):
        await connection.execute("TRUNCATE roadworthy.jobs, roadworthy.job_edges")
        await connection.execute(_FLOW, members)
        await connection.execute(
            "INSERT INTO roadworthy.job_edges (predecessor, successor, workflow, on_success) "
            "SELECT n, $1 + 1, 1, true FROM generate_series(1, $1::int) AS n",
            members,
        )
        await connection.execute("VACUUM ANALYZE roadworthy.jobs, roadworthy.job_edges")
        ids, leases = await held(connection)
        plan = await explain(connection, "finish_jobs", ids, leases, [None] * len(ids))
        assert rows(plan, "job_edges_pkey") == len(ids)
        touched.append(buffers(plan))
    assert touched[1] < touched[0] * 1.5, touched


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_looking_for_cancellations_reads_nothing_but_requests(connection: Any, scenario: Any) -> None:
    await scenario(connection, 20_000)
    ids, leases = await held(connection)
    await connection.execute(SQL["request_cancellation"], ids[:3])
    plan = await explain(connection, "find_cancellations", "w")
    assert {index for _, index in on_jobs(plan)} == {"jobs_cancel_requested"}
    assert rows(plan, "jobs_cancel_requested") == 3
    plan = await explain(connection, "write_progress", ids[0], leases[0], "{}")
    assert on_jobs(plan) == {("Index Scan", "jobs_pkey")}
