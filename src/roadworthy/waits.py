"""How long to wait between attempts at what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def growing_waits(first: float, longest: float, random: Callable[[], float]) -> Iterator[float]:
    """Yield seconds, without end: from `first`, doubling up to `longest`, each less a random half of it at most.

    `random` draws from 0 up to 1; it keeps those that failed together from trying again together.
    """
    wait = first
    while True:
        yield wait * (1 - random() / 2)
        wait = min(2 * wait, longest)
