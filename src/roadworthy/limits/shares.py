"""What one of several processes may admit by itself, so that all of them together stay about within the quota."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from roadworthy.limits.quota import LONGEST, Quota


def share_of(quota: Quota, processes: int) -> Quota:
    """Return the quota of one of `processes`: its part of the units or, where there are fewer, one in a longer time.

    At once, each admits one unit at least.
    """
    burst = None if quota.burst is None else max(1, quota.burst // processes)
    if quota.count >= processes:
        return replace(quota, count=quota.count // processes, burst=burst)
    period = quota.period * -(-processes // quota.count)
    return replace(quota, count=1, period=min(period, timedelta(days=LONGEST.days)), burst=burst)
