"""What a run says in short: us beside the best peer, and where a job's time goes."""

from __future__ import annotations

from collections.abc import Sequence

from ..report import Row
from .registry import ENTRIES, OURS, is_peer

_LIMIT = "limit: bare SQL, batch 100"


def beside_the_best(rows: Sequence[Row]) -> list[str]:
    """Return a line per measure: our value beside the best peer's, and beside the best that is as durable."""
    lines = []
    for measure in dict.fromkeys(row.measure for row in rows):
        ours = [row for row in rows if row.measure == measure and row.subject == OURS]
        peers = [row for row in rows if row.measure == measure and is_peer(row.subject) and row.value > 0]
        if not ours or not peers or ours[0].value <= 0:
            continue
        best = _best(peers)
        line = f"{measure}: {ours[0].value:,.4g} {ours[0].unit}, {_beside(ours[0], best)} the best peer, {_told(best)}"
        durable = [row for row in peers if ENTRIES[row.subject].server == "postgres"]
        if durable and best not in durable:
            line += f"; {_beside(ours[0], _best(durable))} the best on PostgreSQL, {_told(_best(durable))}"
        lines.append(line)
    return lines


def _best(rows: Sequence[Row]) -> Row:
    return (max if rows[0].better == "more" else min)(rows, key=lambda row: row.value)


def _beside(ours: Row, other: Row) -> str:
    ratio = ours.value / other.value if ours.better == "more" else other.value / ours.value
    return f"{ratio:.2f} times as good as"


def _told(row: Row) -> str:
    return f"{row.subject} ({row.value:,.4g})"


def where_it_goes(rows: Sequence[Row]) -> list[str]:
    """Return lines that split our time per job, beside the limit's."""
    return [line for subject in (OURS, _LIMIT) for line in _split(rows, subject)]


def _split(rows: Sequence[Row], subject: str) -> list[str]:
    found = {row.measure: row.value for row in rows if row.subject == subject}
    if not {"processed", "worker CPU per job", "server CPU per job", "WAL per job"} <= found.keys():
        return []
    return [
        f"{subject}: a job takes {1e6 / found['processed']:.1f} µs of time, {found['worker CPU per job']:.1f} µs of "
        f"processor in the worker and {found['server CPU per job']:.1f} µs in PostgreSQL (the two overlap), "
        f"{found['WAL per job']:.0f} bytes of WAL and {found['commits per 1,000 jobs'] / 1000:.3f} commits"
    ]
