"""Did you mean: the known name that is the fewest edits away from the one written."""

from __future__ import annotations

from collections.abc import Iterable


def distance(left: str, right: str) -> int:
    """Return how many letters must be inserted, deleted, replaced or swapped with their neighbour.

    Optimal string alignment (Damerau 1964, as bounded by Boytsov 2011): no letter is edited twice.
    """
    before: list[int] = []
    previous = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        current = [i]
        for j, b in enumerate(right, 1):
            edits = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and b == left[i - 2]:
                edits = min(edits, before[j - 2] + 1)
            current.append(edits)
        before, previous = previous, current
    return previous[-1]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to `name`, or None where a third of its letters or more would have to change."""
    candidates = sorted((distance(name, candidate), candidate) for candidate in known)
    if candidates and candidates[0][0] * 3 <= max(len(name), 3):
        return candidates[0][1]
    return None


def suggestion(name: str, known: Iterable[str], what: str) -> str:
    """Return the advice for a `name` that is no known `what`: the nearest one, else a list of all that there are."""
    known = sorted(known)
    if close := nearest(name, known):
        return f"did you mean {close!r}?"
    if not known:
        return f"there is no {what} to name"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"name one of: {shown}"
