"""The declaration of a check: something that is looked at, again and again, for `/health`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from roadworthy.duration import seconds
from roadworthy.errors import DeclarationError
from roadworthy.health.policy import Reading

Observe = Callable[[], Awaitable[Sequence[Reading]]]

RESERVED = frozenset(("caches", "database", "dependencies", "disk", "limits", "memory", "processes", "queues", "redis"))
"""The checks that come with a service."""

LIVE = timedelta(0)
"""The `every` of a check of what is in the process's own memory: it is looked at whenever somebody asks."""

_GROUP = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Check:
    """Something that is looked at for `/health`, in the background, as long as somebody asks for it.

    `run` returns what it observed; raising, or taking longer than `timeout`, is a failure. A `critical` failure fails
    the report, any other is a warning. `readiness` opts the check into `/readyz`: choose it where a process without it
    can answer nothing, and other processes may well have it.

    A look begins about `every` after the last one ended. It takes `failures` looks in a row to fail, and `successes` to
    pass again. `groups` are names under which reports of some checks alone are asked for.
    """

    name: str
    run: Observe
    critical: bool = True
    readiness: bool = False
    timeout: timedelta = seconds(1)
    every: timedelta = seconds(5)
    failures: int = 2
    successes: int = 2
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.timeout <= timedelta(0):
            raise DeclarationError(f"check {self.name!r} has timeout={self.timeout}; it must be positive")
        if self.every < LIVE:
            raise DeclarationError(f"check {self.name!r} has every={self.every}; it must not be negative")
        for what, number in (("failures", self.failures), ("successes", self.successes)):
            if number < 1:
                raise DeclarationError(f"check {self.name!r} has {what}={number}; it takes one look at least")
        for group in self.groups:
            if not _GROUP.fullmatch(group):
                raise DeclarationError(
                    f"check {self.name!r} is in the group {group!r}, which is part of an address; a group's name must "
                    "match [a-z][a-z0-9_-]*"
                )

    @property
    def longest_age(self) -> timedelta:
        """The age past which what was seen counts no more: a look was missed, or takes longer than it may."""
        return 2 * self.every + self.timeout

    def in_group(self, name: str) -> bool:
        """Whether a report of the group `name` has this check: one of that name is a group of its own."""
        return name == self.name or name in self.groups
