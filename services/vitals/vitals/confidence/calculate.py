"""Calculates and keeps the confidences of users."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from roadworthy import Database, load_queries
from vitals.confidence.score import Confidence, Record, score
from vitals.payloads.metrics import METRICS

QUERIES = load_queries("vitals.confidence")


async def calculate(database: Database, users: Sequence[int]) -> int:
    """Calculate the confidences of all sources of these users, in the caller's transaction if there is one.

    Return how many sources of metrics were scored.
    """
    async with database.transaction():
        await database.execute(QUERIES["take_stale"], users)
        rows = await database.fetch(QUERIES["source_records"], users)
        scored: list[tuple[int, str, str, Confidence]] = []
        for (user, metric), group in groupby(rows, key=lambda row: (row["user_id"], row["metric"])):
            if metric not in METRICS:
                continue
            of_metric = list(group)
            records = [
                Record(row["source"], row["kind"], row["value"], row["measured_at"], row["days"]) for row in of_metric
            ]
            confidences = score(metric, records, of_metric[0]["now"])
            scored += [(user, metric, source, confidence) for source, confidence in confidences.items()]
        if scored:
            await database.execute(
                QUERIES["keep_confidences"],
                [user for user, _, _, _ in scored],
                [metric for _, metric, _, _ in scored],
                [source for _, _, source, _ in scored],
                [confidence.reliability for *_, confidence in scored],
                [confidence.freshness for *_, confidence in scored],
                [confidence.frequency for *_, confidence in scored],
                [confidence.agreement for *_, confidence in scored],
            )
    return len(scored)
