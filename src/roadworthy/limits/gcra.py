"""The generic cell rate algorithm (ITU-T I.371), which is also the token bucket: one moment for each key.

That moment is the theoretical arrival time: when all that was taken will have come back. It may lie as far ahead as the
capacity takes to come back; a unit puts it off by the spacing.
"""

from __future__ import annotations

import math

from roadworthy.limits.quota import Quota


class Gcra:
    """The policy of a quota whose units come back evenly."""

    __slots__ = ("capacity", "rate", "spacing", "tolerance")

    def __init__(self, quota: Quota) -> None:
        self.spacing = quota.spacing
        self.rate = 1 / quota.spacing
        self.capacity = quota.capacity
        # The sixteenth of a unit takes up what rounding adds, and admits no unit more in any stretch.
        self.tolerance = (quota.capacity + 1 / 16) * quota.spacing

    def available(self, state: float | None, now: float) -> int:
        """See `Policy`."""
        return int((self.tolerance - _ahead(state, now)) * self.rate)

    def taken(self, state: float | None, now: float, units: int) -> float:
        """See `Policy`."""
        return now + (_ahead(state, now) + units * self.spacing)

    def wait(self, state: float | None, now: float, cost: int) -> float:
        """See `Policy`."""
        if cost > self.capacity:
            return math.inf
        ahead = _ahead(state, now) + cost * self.spacing
        return ahead - self.capacity * self.spacing if ahead > self.tolerance else 0.0

    def reset(self, state: float | None, now: float) -> float:
        """See `Policy`."""
        return _ahead(state, now)


def _ahead(state: float | None, now: float) -> float:
    return state - now if state is not None and state > now else 0.0
