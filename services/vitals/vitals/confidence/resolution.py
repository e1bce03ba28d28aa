"""Of several sources of one metric, the one that counts: by confidence, then priority, then recency.

The view `latest_unified_metrics` orders the same way in SQL; a test holds both to each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

DEFAULT_PRIORITY = 50
"""The priority of a source that nobody has given one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one source says last of a metric; a lower `priority` goes first, `confidence` is from 0 to 100."""

    source: str
    value: float
    measured_at: datetime
    confidence: int = 0
    priority: int = DEFAULT_PRIORITY


def best(candidates: Iterable[Candidate]) -> Candidate | None:
    """Return the candidate that counts, None of none; the order that they come in does not matter."""
    return min(candidates, key=_rank, default=None)


def _rank(candidate: Candidate) -> tuple[int, int, float, str]:
    return -candidate.confidence, candidate.priority, -candidate.measured_at.timestamp(), candidate.source
