"""The declaration of a check: something outside the process that is looked at for `/health`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from roadworthy.duration import seconds
from roadworthy.errors import DeclarationError
from roadworthy.health.policy import Reading

Observe = Callable[[], Awaitable[Sequence[Reading]]]

RESERVED = frozenset(("caches", "database", "processes", "queues"))
"""The checks that come with a service."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something outside the process that is looked at for `/health`.

    `run` returns what it observed; raising, or taking longer than `timeout`, is a failure. A `critical` failure fails
    the report, any other is a warning. `readiness` opts the check into `/readyz`: choose it where a process without it
    can answer nothing, and other processes may well have it.
    """

    name: str
    run: Observe
    critical: bool = True
    readiness: bool = False
    timeout: timedelta = seconds(1)

    def __post_init__(self) -> None:
        if self.timeout <= timedelta(0):
            raise DeclarationError(f"check {self.name!r} has timeout={self.timeout}; it must be positive")
