"""Counting in the memory of one process: the store of one that stands alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from roadworthy.limits.policy import Policy, policy_of, take
from roadworthy.limits.quota import Quota
from roadworthy.limits.remembered import Remembered
from roadworthy.limits.spec import KEYS
from roadworthy.limits.store import Counter, Verdict


class MemoryStore:
    """Counters of this process, at most so many; see `Store`.

    Where there are more that still count, those from which least was taken are forgotten, and `evictions` counts them.
    It belongs to one event loop: it has no lock.
    """

    def __init__(
        self,
        keys: int = KEYS,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Remember `keys` counters. `wall` tells once when windows begin, so that a clock that is set moves none."""
        self.clock = clock
        self.states: Remembered[Any] = Remembered(keys)
        self._origin = wall() - clock()
        self._policies: dict[Quota, Policy] = {}

    def __len__(self) -> int:
        return len(self.states)

    @property
    def evictions(self) -> int:
        """How many counters were forgotten for want of room while they still counted."""
        return self.states.evictions

    def policy(self, quota: Quota) -> Policy:
        """Return how a quota is counted here."""
        policy = self._policies.get(quota)
        if policy is None:
            policy = self._policies[quota] = policy_of(quota, self._origin)
        return policy

    def take_now(self, keys: Sequence[str], policies: Sequence[Policy], cost: int = 1, most: int = 1) -> list[Verdict]:
        """Take as `Store.take` does, at once."""
        now = self.clock()
        held = self.states.held
        after, verdicts = take(policies, [held.get(key) for key in keys], now, cost, most)
        for key, state in zip(keys, after, strict=True):
            if key in held:
                held[key] = state
            elif state is not None:
                self.states.add(key, state, now)
        return verdicts

    async def take(self, counters: Sequence[Counter], cost: int = 1, most: int = 1) -> list[Verdict]:
        """See `Store.take`."""
        keys = [counter.key for counter in counters]
        return self.take_now(keys, [self.policy(counter.quota) for counter in counters], cost, most)

    async def close(self) -> None:
        """See `Store.close`; what was counted is forgotten."""
        self.states = Remembered(KEYS)
