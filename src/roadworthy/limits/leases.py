"""What one process knows of one key of a shared limit: units taken ahead, and a denial that still holds."""

from __future__ import annotations

from roadworthy.limits.spec import LimitSpec


class Account:
    """One key's.

    `left` units are at hand until `ends`. Fewer than `denied_cost` units are worth a question to the store before
    `denied_until`; others are not. `index` is the quota that was the strictest at the last answer, of which
    `remaining` units were left to others, and which is whole again at `resets`. `granted` units, those at hand before
    included, were there at `since`, of which some were used at once. `asking` says that more are asked for now.
    """

    __slots__ = (
        "asking",
        "denied_cost",
        "denied_until",
        "ends",
        "granted",
        "index",
        "left",
        "remaining",
        "resets",
        "since",
        "used",
    )

    def __init__(self) -> None:
        self.left = 0
        self.ends = 0.0
        self.denied_cost = 0
        self.denied_until = 0.0
        self.index = 0
        self.remaining = 0
        self.resets = 0.0
        self.since = 0.0
        self.granted = 0
        self.asking = False
        self.used = 0


class Leasing:
    """How many units of a key a process takes ahead: what it will need in the time in which a full lease comes back.

    That is the key's use since the last answer, carried on for the share `lease` of the shortest period; so a key that
    several processes serve is leased to each by its part of the requests, and one that is seldom asked for not at all.
    It leaves others half of what is likely to be there. What is not used within `patience` seconds or, where that is
    later, until it has come back in the store, is lost.
    """

    __slots__ = ("_capacity", "_most", "_rates", "_seconds", "patience")

    def __init__(self, spec: LimitSpec) -> None:
        self._most = spec.most_ahead
        self._seconds = spec.lease * min(quota.seconds for quota in spec.quotas)
        self.patience = 2 * self._seconds
        self._rates = [1 / quota.spacing for quota in spec.quotas]
        self._capacity = spec.capacity

    def ahead(self, account: Account, now: float) -> int:
        """Return how many units to take beyond those that are needed."""
        most = self._most
        if not most or not account.granted:
            return 0
        passed = now - account.since
        expected = (account.granted - account.left) * self._seconds
        wanted = most if expected >= most * passed else int(expected / passed)
        there = min(self._capacity, account.remaining + int(passed * self._rates[account.index]))
        return min(wanted, there // 2)
