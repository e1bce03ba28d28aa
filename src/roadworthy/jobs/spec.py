"""The declarations of background work: queues, the jobs on them, and when a job repeats by itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, get_args

from roadworthy.errors import DeclarationError, InvalidArguments
from roadworthy.jobs.arguments import Arguments, UniqueKey, UniqueWhile
from roadworthy.jobs.cron import Cron, Every
from roadworthy.jobs.limits import Limit, check
from roadworthy.jobs.missed import Missed
from roadworthy.jobs.results import ResultType

_QUEUE_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_JOB_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

MOST_ATTEMPTS = 10_000
LONGEST = timedelta(days=3650)
"""The longest duration a declaration may name: far enough from where calendars end, and timers overflow."""

JobFunction = Callable[..., Any]
Upgrade = Callable[[int, dict[str, Any]], dict[str, Any]]
"""Turns arguments of an earlier version, as JSON has them, into those of the declared one."""

Runs = Literal["loop", "thread", "process"]
"""Where a job's function runs: async ones on the event loop, plain ones in a thread or in a child process."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a failed job waits: `base` × `factor` ** (attempt − 1), at most `longest`, ± `jitter` of it."""

    base: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    longest: timedelta = timedelta(hours=1)
    jitter: float = 0.25

    def __post_init__(self) -> None:
        if self.base < timedelta(0) or self.longest < self.base:
            raise DeclarationError(f"backoff needs 0 <= base <= longest, not base={self.base}, longest={self.longest}")
        if self.longest > LONGEST:
            raise DeclarationError(f"backoff has longest={self.longest}; it must be at most {LONGEST.days} days")
        if self.factor < 1:
            raise DeclarationError(f"backoff has factor={self.factor}; it must be at least 1")
        if not 0 <= self.jitter < 1:
            raise DeclarationError(f"backoff has jitter={self.jitter}; it is a share of the delay, from 0 up to 1")


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A queue: how often its jobs are tried, how long a claim lasts unrenewed, and who works on it.

    `workers` is the smallest and the largest number of worker processes, `concurrency` the jobs that one of them runs
    at once, `target_latency` the time in which a new job should start, `scale_in_after` how long fewer workers must
    have been enough before one goes, `timeout` what ends an attempt of any job that declares none of its own, `limits`
    how many of its jobs run at once and begin in a time, over all processes, `keep_dead` for how long its dead letters
    are kept, for ever without.
    """

    name: str
    attempts: int = 5
    lease: timedelta = timedelta(seconds=60)
    workers: tuple[int, int] = (1, 1)
    concurrency: int = 10
    target_latency: timedelta = timedelta(seconds=30)
    backoff: Backoff = field(default_factory=Backoff)
    scale_in_after: timedelta = timedelta(minutes=5)
    timeout: timedelta | None = None
    limits: tuple[Limit, ...] = ()
    keep_dead: timedelta | None = None

    def __post_init__(self) -> None:
        if not _QUEUE_NAME.fullmatch(self.name):
            raise DeclarationError(f"queue name {self.name!r} must match [a-z][a-z0-9_-]*; rename it")
        if not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise DeclarationError(
                f"queue {self.name!r} has attempts={self.attempts}; it must be at least 1, at most {MOST_ATTEMPTS}"
            )
        if not timedelta(seconds=1) <= self.lease <= LONGEST:
            raise DeclarationError(
                f"queue {self.name!r} has lease={self.lease}; it must be at least a second, at most {LONGEST.days} days"
            )
        fewest, most = self.workers
        if not 0 <= fewest <= most or most < 1:
            raise DeclarationError(
                f"queue {self.name!r} has workers={self.workers}; "
                "it is (fewest, most) with 0 <= fewest <= most, most >= 1"
            )
        if self.concurrency < 1:
            raise DeclarationError(f"queue {self.name!r} has concurrency={self.concurrency}; it must be at least 1")
        if self.target_latency <= timedelta(0):
            raise DeclarationError(f"queue {self.name!r} has target_latency={self.target_latency}; it must be positive")
        if self.timeout is not None and not timedelta(0) < self.timeout <= LONGEST:
            raise DeclarationError(
                f"queue {self.name!r} has timeout={self.timeout}; it must be positive, at most {LONGEST.days} days"
            )
        if not timedelta(0) <= self.scale_in_after <= timedelta(hours=1):
            raise DeclarationError(
                f"queue {self.name!r} has scale_in_after={self.scale_in_after}; it must be from 0 to an hour"
            )
        check(self.limits, f"queue {self.name!r}")
        if self.keep_dead is not None and not timedelta(0) < self.keep_dead <= LONGEST:
            raise DeclarationError(
                f"queue {self.name!r} has keep_dead={self.keep_dead}; it must be positive, at most {LONGEST.days} days"
            )


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job: a function on a queue.

    `unique` keys the job by its arguments: while a job with that key waits or runs, another is not added.
    `timeout` ends one attempt. A lower `priority` runs first. `every` or `cron` (five fields, by the clocks of
    `timezone`) make the scheduler enqueue it, once per fire time however many schedulers run; `missed` says what
    becomes of fire times at which none ran. `limits` say how many run at once and begin in a time, `limit_keys` what
    its limits by key, and its queue's, count it under. `unique_while` and `unique_for` say how long a job has its key,
    `keep` for how long it is kept with what it `returns` after its end. `version` is that of its arguments' shape, and
    `upgrade` turns older ones into it; `encrypted` keeps them, and the result, from whoever reads the database.
    """

    name: str
    queue: str
    function: JobFunction
    arguments: Arguments
    unique: UniqueKey | None = None
    timeout: timedelta | None = None
    priority: int = 0
    every: timedelta | None = None
    cron: str | None = None
    attempts: int = 5
    timezone: str = "UTC"
    missed: Missed = "latest"
    runs: Runs = "loop"
    limits: tuple[Limit, ...] = ()
    limit_keys: tuple[UniqueKey, ...] = ()
    unique_while: UniqueWhile = "alive"
    unique_for: timedelta | None = None
    keep: timedelta | None = None
    returns: ResultType = field(default_factory=ResultType)
    version: int = 1
    upgrade: Upgrade | None = None
    encrypted: bool = False

    def __post_init__(self) -> None:
        if not _JOB_NAME.fullmatch(self.name):
            raise DeclarationError(f"job name {self.name!r} must be a function's name; decorate a named function")
        if self.timeout is not None and not timedelta(0) < self.timeout <= LONGEST:
            raise DeclarationError(
                f"job {self.name!r} has timeout={self.timeout}; it must be positive, at most {LONGEST.days} days"
            )
        if not -32768 <= self.priority <= 32767:
            raise DeclarationError(f"job {self.name!r} has priority={self.priority}; it must fit in -32768..32767")
        if not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise DeclarationError(
                f"job {self.name!r} has attempts={self.attempts}; it must be at least 1, at most {MOST_ATTEMPTS}"
            )
        self._check_function()
        self._check_options()
        self._check_schedule()
        if self.repeats and self.arguments.required:
            raise DeclarationError(
                f"job {self.name!r} repeats by itself, but nobody passes its {', '.join(self.arguments.required)}; "
                "give each parameter a default"
            )
        if self.repeats:
            try:
                self.arguments.bind()
            except InvalidArguments as error:
                raise DeclarationError(
                    f"job {self.name!r} repeats by itself, but cannot be enqueued with its defaults: {error}"
                ) from None

    def _check_function(self) -> None:
        is_async = inspect.iscoroutinefunction(self.function)
        if not is_async and inspect.iscoroutinefunction(inspect.unwrap(self.function)):
            raise DeclarationError(
                f"job {self.name!r} is an async function inside a plain one, which nobody would await; make its "
                "decorator's wrapper an `async def`"
            )
        if self.runs == "process" and is_async:
            raise DeclarationError(
                f"job {self.name!r} has process=True, but is an async function; declare it with plain `def`"
            )
        if self.runs == "process" and "<locals>" in self.function.__qualname__:
            raise DeclarationError(
                f"job {self.name!r} has process=True, but is declared inside a function, where another process cannot "
                "find it; declare it at the top level of its module"
            )
        if (self.runs == "loop") is not is_async:
            raise DeclarationError(
                f"job {self.name!r} cannot run in the {self.runs}; async functions run on the loop, plain ones do not"
            )

    def _check_options(self) -> None:
        if self.unique is None and (self.unique_for is not None or self.unique_while != "alive"):
            raise DeclarationError(f"job {self.name!r} says how long it is unique, but not by what; add unique=")
        if self.unique_while not in get_args(UniqueWhile):
            allowed = ", ".join(map(repr, get_args(UniqueWhile)))
            raise DeclarationError(f"job {self.name!r} has unique_while={self.unique_while!r}; it is one of {allowed}")
        for option, duration in (("unique_for", self.unique_for), ("keep", self.keep)):
            if duration is not None and not timedelta(0) < duration <= LONGEST:
                raise DeclarationError(
                    f"job {self.name!r} has {option}={duration}; it must be positive, at most {LONGEST.days} days"
                )
        if self.version < 1:
            raise DeclarationError(f"job {self.name!r} has version={self.version}; versions count from 1")
        if (self.version > 1) is not (self.upgrade is not None):
            raise DeclarationError(
                f"job {self.name!r} has version={self.version} and upgrade={self.upgrade!r}; from version 2 on, give "
                "an upgrade= that turns the arguments of earlier versions into those of this one"
            )

    def _check_schedule(self) -> None:
        if self.every is not None and self.cron is not None:
            raise DeclarationError(f"job {self.name!r} has both every= and cron=; keep one")
        if self.every is not None and not timedelta(seconds=1) <= self.every <= LONGEST:
            raise DeclarationError(
                f"job {self.name!r} has every={self.every}; it must be at least a second, at most {LONGEST.days} days"
            )
        if self.cron is None and self.timezone != "UTC":
            raise DeclarationError(
                f"job {self.name!r} has timezone={self.timezone!r} without cron=; nothing else goes by a clock"
            )
        if self.missed not in get_args(Missed):
            raise DeclarationError(
                f"job {self.name!r} has missed={self.missed!r}; it is one of {', '.join(map(repr, get_args(Missed)))}"
            )
        check(self.limits, f"job {self.name!r}")
        if self.cron is not None:
            Cron.parse(self.cron, self.timezone)

    @property
    def repeats(self) -> bool:
        """Whether a scheduler enqueues it."""
        return self.every is not None or self.cron is not None

    @property
    def schedule(self) -> Every | Cron | None:
        """When it repeats; None for one that does not."""
        if self.cron is not None:
            return Cron.parse(self.cron, self.timezone)
        return None if self.every is None else Every(self.every)
