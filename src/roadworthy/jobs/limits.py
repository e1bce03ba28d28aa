"""How many jobs at once and how many in a time: what is declared, and what workers tell the engine of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from roadworthy.errors import DeclarationError

if TYPE_CHECKING:
    from roadworthy.jobs.spec import JobSpec, QueueSpec

_MOST_AT_ONCE = 1_000_000
_SHORTEST_SPACING = 1e-5
_LONGEST_PERIOD = timedelta(days=366)
_LONGEST_TEMPLATE = 200
_BURST_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` jobs in each `period`, evenly spaced but for a `burst`.

    After a pause, `burst` of them may begin at once: by default as many as are due in a tenth of a second, and two
    where more than one is due in a second, so that one that begins late does not delay all that follow. In any stretch
    as long as the period, at most `count + burst − 1` begin; with a burst of 1, `count`.
    """

    count: int
    period: timedelta
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise DeclarationError(f"a rate has count={self.count}; it must be at least 1")
        if not timedelta(0) < self.period <= _LONGEST_PERIOD:
            raise DeclarationError(f"a rate has period={self.period}; it must be positive, at most a year")
        if self.period.total_seconds() / self.count < _SHORTEST_SPACING:
            raise DeclarationError(
                f"a rate has {self.count} jobs in {self.period}; at most 100,000 in a second are kept"
            )
        if self.burst is not None and not 1 <= self.burst <= self.count:
            raise DeclarationError(f"a rate has burst={self.burst}; it must be from 1 to its count, {self.count}")

    @property
    def spacing(self) -> timedelta:
        """The time between two jobs, rounded up to microseconds so that no rounding adds one."""
        return timedelta(microseconds=math.ceil(self.period / timedelta(microseconds=1) / self.count))

    @property
    def at_once(self) -> int:
        """How many may begin at once after a pause."""
        if self.burst is not None:
            return self.burst
        in_a_second = self.count / self.period.total_seconds()
        return max(2 if in_a_second > 1 else 1, math.floor(in_a_second * _BURST_SECONDS))


def per_second(count: int, *, burst: int | None = None) -> Rate:
    """Return a rate of `count` jobs in a second."""
    return Rate(count, timedelta(seconds=1), burst)


def per_minute(count: int, *, burst: int | None = None) -> Rate:
    """Return a rate of `count` jobs in a minute."""
    return Rate(count, timedelta(minutes=1), burst)


def per_hour(count: int, *, burst: int | None = None) -> Rate:
    """Return a rate of `count` jobs in an hour."""
    return Rate(count, timedelta(hours=1), burst)


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a queue or of a kind of job, over all processes: jobs `at_once`, or jobs begun at a `rate`.

    `per` is a template over the jobs' arguments ("{user}"): each key is then limited apart.
    """

    at_once: int | None = None
    rate: Rate | None = None
    per: str | None = None

    def __post_init__(self) -> None:
        if (self.at_once is None) == (self.rate is None):
            raise DeclarationError(
                "a limit has either at_once= or rate=; pass one of them, and declare two limits for both"
            )
        if self.at_once is not None and not 1 <= self.at_once <= _MOST_AT_ONCE:
            raise DeclarationError(
                f"a limit has at_once={self.at_once}; it must be from 1 to {_MOST_AT_ONCE:,}. "
                "To run none for a while, pause the queue or the job"
            )
        if self.per is None:
            return
        if "{" not in self.per:
            raise DeclarationError(
                f"a limit has per={self.per!r}, the same for all jobs; name an argument, as in '{{user}}'"
            )
        if len(self.per) > _LONGEST_TEMPLATE or not self.per.isprintable():
            raise DeclarationError(
                f"a limit has per={self.per!r}; it must be printable and at most {_LONGEST_TEMPLATE} characters long"
            )

    @property
    def what(self) -> str:
        """What is counted; no two limits of one owner and key may count the same."""
        return "at_once" if self.rate is None else f"rate/{self.rate.period.total_seconds():g}s"


def check(limits: Sequence[Limit], owner: str) -> None:
    """Raise DeclarationError where two of `owner`'s limits count the same."""
    seen: set[tuple[str, str | None]] = set()
    for limit in limits:
        if (limit.what, limit.per) in seen:
            by = "" if limit.per is None else f" per {limit.per!r}"
            raise DeclarationError(f"{owner} has two limits on {limit.what}{by}; keep one")
        seen.add((limit.what, limit.per))


@dataclass(frozen=True, slots=True)
class LimitRule:
    """A limit as an engine is told of it: of one kind of `job` or, where that is None, of all jobs of a queue.

    `family` names it. One that counts per key has a counter for each, named by family and key. Either `at_once`, or
    `spacing` and `burst` are given.
    """

    family: str
    job: str | None
    per: str | None
    at_once: int | None
    spacing: timedelta | None
    burst: int | None

    @property
    def whole_queue(self) -> bool:
        """Whether no job of the queue can pass it when it is full, so that none need be put aside for it."""
        return self.job is None and self.per is None


def rules_of(queue: QueueSpec, jobs: Iterable[JobSpec]) -> tuple[LimitRule, ...]:
    """Return the limits of a queue and of its jobs, those by key first and those of the whole queue last."""
    rules = [_rule(limit, f"queue:{queue.name}", None) for limit in queue.limits]
    for job in jobs:
        if job.queue == queue.name:
            rules += [_rule(limit, f"job:{job.name}", job.name) for limit in job.limits]
    return tuple(sorted(rules, key=lambda rule: (rule.per is None, rule.job is None)))


def _rule(limit: Limit, owner: str, job: str | None) -> LimitRule:
    rate = limit.rate
    return LimitRule(
        family=":".join(part for part in (owner, limit.what, limit.per) if part is not None),
        job=job,
        per=limit.per,
        at_once=limit.at_once,
        spacing=None if rate is None else rate.spacing,
        burst=None if rate is None else rate.at_once,
    )
