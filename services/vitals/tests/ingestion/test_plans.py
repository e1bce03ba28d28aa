"""What an event costs does not grow with what is kept, on connections that planned their statements when little was."""

from __future__ import annotations

from events import day, encoded, payload
from ingestion.test_apply import keep

from roadworthy import Service
from vitals.confidence.calculate import calculate
from vitals.ingestion import apply as applying
from vitals.service import database

FILL = (
    "INSERT INTO webhook_events (provider, event_id, kind, reference, event_at, body, state)"
    " SELECT 'filled', n::text, 'daily', 'filled-' || n, now(), 'x', 'processed' FROM generate_series(1, 20000) AS n",
    "INSERT INTO users (reference) SELECT 'filled-' || n FROM generate_series(1, 20000) AS n",
)


async def some_events(first: int) -> None:
    """Ten batches, each with the calculation that follows."""
    for batch in range(first, first + 10):
        bodies = [encoded(payload([day(n)], event_id=f"{batch}-{n}", reference=f"user-{n}")) for n in range(5)]
        applied = await applying.apply(database, await keep(*bodies))
        await calculate(database, applied.stale)


async def read_in_sequence() -> dict[str, int]:
    """How many rows have been read by scanning whole tables."""
    rows = await database.fetch(
        "SELECT relname, seq_tup_read FROM pg_stat_xact_user_tables"
        " WHERE relname IN ('webhook_events', 'users', 'observations', 'confidences', 'stale_confidences')"
    )
    return {row["relname"]: row["seq_tup_read"] for row in rows}


async def test_no_statement_of_an_event_reads_a_table_whole(running: Service) -> None:
    del running
    # A transaction, so that all is one connection's, and its statements keep the plans that they got.
    async with database.transaction():
        await some_events(0)
        for statement in FILL:
            await database.execute(statement)
        before = await read_in_sequence()
        await some_events(10)
        assert await read_in_sequence() == before
