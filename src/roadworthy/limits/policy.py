"""What every algorithm answers about one counter's state, and how several counters are taken from at once.

Pure, but that the state of a log is changed in place: time comes in as seconds of one clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from roadworthy.limits.fixed_window import FixedWindow
from roadworthy.limits.gcra import Gcra
from roadworthy.limits.quota import BURSTING, Quota
from roadworthy.limits.sliding_log import SlidingLog
from roadworthy.limits.sliding_window import SlidingWindow
from roadworthy.limits.store import Verdict


class Policy(Protocol):
    """An algorithm with its quota. A state of None is that of a counter from which nothing was taken.

    A state is a float, or has `ends` and `used`: after `ends` it is as good as None, and `used` orders those that end
    together by how much was taken.
    """

    def available(self, state: Any, now: float) -> int:
        """Return how many units could be had at once."""

    def taken(self, state: Any, now: float, units: int) -> Any:
        """Return the state after that many units, which are available, were taken."""

    def wait(self, state: Any, now: float, cost: int) -> float:
        """Return after how many seconds `cost` units could be had; 0 where they can be now, infinity for never."""

    def reset(self, state: Any, now: float) -> float:
        """Return after how many seconds all of the quota could be had."""


def policy_of(quota: Quota, origin: float = 0.0) -> Policy:
    """Return the policy of a quota; `origin` is the Unix time at which the clock was at 0."""
    if quota.algorithm in BURSTING:
        return Gcra(quota)
    if quota.algorithm == "fixed_window":
        return FixedWindow(quota, origin)
    if quota.algorithm == "sliding_window":
        return SlidingWindow(quota, origin)
    return SlidingLog(quota)


def take(
    policies: Sequence[Policy], states: Sequence[Any], now: float, cost: int, most: int
) -> tuple[Sequence[Any], list[Verdict]]:
    """Take from `cost` to `most` units from each counter, or nothing where one has too few; return the states after."""
    available = [policy.available(state, now) for policy, state in zip(policies, states, strict=True)]
    fewest = min(available)
    if fewest < cost:
        return states, [
            Verdict(0, units, policy.wait(state, now, cost), policy.reset(state, now))
            for policy, state, units in zip(policies, states, available, strict=True)
        ]
    granted = min(max(cost, most), fewest)
    after = [policy.taken(state, now, granted) for policy, state in zip(policies, states, strict=True)]
    return after, [
        Verdict(granted, units - granted, 0.0, policy.reset(state, now))
        for policy, state, units in zip(policies, after, available, strict=True)
    ]
