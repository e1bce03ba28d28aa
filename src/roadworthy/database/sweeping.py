"""Removing what has expired: a walk through a table's pages, in steps, as fast as rows are written.

A step takes as many pages as rows were written since the last. A table of some rows a page has so been walked through
once a fraction of its rows was written anew, and what has expired never takes more room than that; a table that nobody
writes to does not grow and is left alone.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

STEP = 64
"""Pages in a step: some hundred rows each at most, so that a step takes a few milliseconds."""


class Sweep:
    """The walk through one table. Several processes walk it, from places of their own."""

    def __init__(self, statement: str, start: Callable[[str], Any], *, share: random.Random) -> None:
        """`start` is to have the statement of that name followed by `step`, soon. `share` draws where to begin."""
        self._statement = statement
        self._start = start
        self._share = share
        self._written = 0
        self._page: int | None = None

    def wrote(self, rows: int) -> None:
        """Count rows that were written, and have a step done where it is time."""
        self._written += rows
        if self._written >= STEP:
            self._written = 0
            self._start(self._statement)

    async def step(self, fetch: Callable[..., Awaitable[list[Any]]]) -> int:
        """Remove what has expired from the next pages; return how many rows that were."""
        page = self._page or 0
        ((removed, pages),) = await fetch(self._statement, (page, 0), (page + STEP, 0))
        if self._page is None:
            self._page = self._share.randrange(pages) if pages else 0
        else:
            self._page = page + STEP if page + STEP < pages else 0
        return int(removed)
