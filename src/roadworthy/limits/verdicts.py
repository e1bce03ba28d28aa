"""From what counters said to what is decided."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.limits.counting import Counts
from roadworthy.limits.decision import Decision, Source
from roadworthy.limits.spec import LimitSpec
from roadworthy.limits.store import Verdict


def strictest(verdicts: Sequence[Verdict]) -> int:
    """Return whose verdict counts: of those that refuse, the longest's; if none does, that with the fewest left."""
    if len(verdicts) == 1:
        return 0
    numbers = range(len(verdicts))
    longest = max(numbers, key=lambda number: verdicts[number].retry_after)
    if verdicts[longest].retry_after > 0:
        return longest
    return min(numbers, key=lambda number: (verdicts[number].remaining, -verdicts[number].reset_after))


def denied(
    spec: LimitSpec,
    counts: Counts,
    index: int,
    remaining: int,
    retry_after: float,
    reset_after: float,
    source: Source,
) -> Decision:
    """Return the denial by the quota at `index`; a shadow limit counts it, and admits."""
    quota = spec.quotas[index]
    if not spec.shadow:
        return Decision(False, spec.name, quota, index, remaining, retry_after, reset_after, source)
    counts.shadowed += 1
    return Decision(True, spec.name, quota, index, remaining, 0.0, reset_after, source)
