"""A retry budget: when everything fails, retries stay a small share of what is asked, instead of multiplying it."""

from __future__ import annotations

from roadworthy.errors import DeclarationError


class Budget:
    """How many calls are under way, and how many of those are on their second attempt or a later one.

    Of all that are under way at most `share` may be retrying, and `floor` always, as in Envoy's retry budget: a call
    counts as retrying from the decision to try again until that attempt has ended, its wait included. It belongs to
    one event loop; several `Retry` may share it.
    """

    __slots__ = ("active", "floor", "refused", "retrying", "share")

    def __init__(self, share: float = 0.2, floor: int = 3) -> None:
        """Let `floor` calls retry at once, and a `share` (0 to 1) of those under way.

        Raises:
            DeclarationError: the share is none, or the floor negative.
        """
        if not 0 <= share <= 1:
            raise DeclarationError(f"a retry budget has share={share}; it is a share from 0 to 1, 0.2 by default")
        if floor < 0:
            raise DeclarationError(f"a retry budget has floor={floor}; it is 0 or more, 3 by default")
        self.share = share
        self.floor = floor
        self.active = 0
        self.retrying = 0
        self.refused = 0

    def take(self) -> bool:
        """Return whether one more may retry; then `give_back` is owed."""
        if self.retrying < max(self.floor, int(self.share * self.active)):
            self.retrying += 1
            return True
        self.refused += 1
        return False

    def give_back(self) -> None:
        """End one retry."""
        self.retrying -= 1
