"""The seam between limits and what counts for them: the memory of one process, or PostgreSQL or Redis for several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from roadworthy.limits.quota import Quota
from roadworthy.outage import StoreDown as StoreDown


# Both are made for each question: a struct costs a fifth of a frozen dataclass.
class Counter(msgspec.Struct, frozen=True, gc=False):
    """What is counted: `key` names the limit, the quota within it and whom it counts."""

    key: str
    quota: Quota


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What one counter said.

    `granted` units were taken from it, 0 where nothing was. `remaining` units could be had at once now. Where this
    counter had too few, it will have enough after `retry_after` seconds, infinity for never; else that is 0. After
    `reset_after` seconds without another unit taken, all of the quota could be had.
    """

    granted: int
    remaining: int
    retry_after: float
    reset_after: float


class Store(Protocol):
    """Counts. Each call is one step that no other can come between, timed by one clock, which is the store's."""

    async def take(self, counters: Sequence[Counter], cost: int = 1, most: int = 1) -> list[Verdict]:
        """Take the same number of units from each of `counters`, whose keys differ, or nothing where one has too few.

        `cost` units are needed, from 1; up to `most` are taken where all have so many, to be handed out later without
        asking. Raises StoreDown.
        """

    async def close(self) -> None:
        """Let go of what the store holds."""
