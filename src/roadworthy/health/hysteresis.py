"""Hysteresis: one look that goes wrong changes nothing yet, and neither does one that goes well."""

from __future__ import annotations


class Hysteresis:
    """Settles on failing after `failures` looks in a row that fail, and on passing after `successes` that pass.

    The first look of all settles it: there is nothing yet that could be held on to.
    """

    __slots__ = ("_failures", "_successes", "failing", "streak")

    def __init__(self, failures: int, successes: int) -> None:
        """Have settled on nothing."""
        self._failures = failures
        self._successes = successes
        self.failing: bool | None = None
        self.streak = 0

    def note(self, failed: bool) -> bool:
        """Take in a look that failed or passed; return whether it is what is settled on now.

        `streak` counts the looks in a row that say otherwise.
        """
        if self.failing is None:
            self.failing = failed
        elif failed != self.failing:
            self.streak += 1
            if self.streak < (self._failures if failed else self._successes):
                return False
            self.failing = failed
        self.streak = 0
        return True

    def forget(self) -> None:
        """Let the next look settle it: the last ones are too old to be held on to."""
        self.failing = None
        self.streak = 0
