"""How a service turns requests away when there are more than it can answer, declared once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from roadworthy.errors import DeclarationError

_ROUTE = re.compile(r"[A-Z]+ /(?:[^\s{}?#]|\{[A-Za-z_]\w*(?::\w+)?\})*")
_LONGEST_RETRY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SheddingSpec:
    """How requests are turned away under overload.

    `critical` and `low` are routes ("POST /orders") that go last and first; of all others, those that only read go
    before those that write. `slower` is the latency at which requests begin to be turned away, as a multiple of what it
    is without load. At most `most` requests are under way at once in a process, and `initial` before anything is known.
    Who is turned away is told to come back after `retry_after` to twice that.
    """

    critical: tuple[str, ...] = ()
    low: tuple[str, ...] = ()
    slower: float = 1.4
    initial: int = 20
    most: int = 1000
    retry_after: timedelta = timedelta(seconds=2)

    name = "shedding"

    def __post_init__(self) -> None:
        for route in (*self.critical, *self.low):
            if not _ROUTE.fullmatch(route):
                raise DeclarationError(
                    f"shedding names the route {route!r}; write a method, a space and the path as the application "
                    "declares it, as in 'POST /orders/{id}'"
                )
        if both := set(self.critical) & set(self.low):
            raise DeclarationError(f"shedding has {min(both)!r} as critical and as low; choose one of them")
        if not 1.1 <= self.slower <= 10:
            raise DeclarationError(
                f"shedding has slower={self.slower}; it is a multiple of the usual latency, from 1.1 to 10"
            )
        if not 1 <= self.initial <= self.most:
            raise DeclarationError(
                f"shedding has initial={self.initial} and most={self.most}; they are at least 1, and most no less"
            )
        if not timedelta(seconds=1) <= self.retry_after <= _LONGEST_RETRY:
            raise DeclarationError(
                f"shedding has retry_after={self.retry_after}; it must be from a second to an hour, for Retry-After "
                "counts in seconds"
            )
