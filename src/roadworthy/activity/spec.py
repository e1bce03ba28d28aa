"""The declaration of an activity: whose days are counted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from roadworthy.errors import DeclarationError

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SHORTEST = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class ActivitySpec:
    """Somebody, such as users, of whom it is counted on which days (UTC) they were active.

    Days are kept for `keep`. A process remembers at most `most` of them that were not written yet, and as many that
    were. Alerts say nothing of fewer than `floor` a day.
    """

    name: str
    keep: timedelta = timedelta(days=400)
    floor: int = 20
    most: int = 100_000

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise DeclarationError(f"activity name {self.name!r} must match [a-z][a-z0-9_]*; rename it")
        if self.keep < _SHORTEST:
            raise DeclarationError(
                f"activity {self.name!r} has keep={self.keep}; who stays and who leaves is seen after "
                f"{_SHORTEST.days} days, so keep them for as long"
            )
        if self.floor < 1 or self.most < 1:
            raise DeclarationError(
                f"activity {self.name!r} has floor={self.floor} and most={self.most}; both must be at least 1"
            )
