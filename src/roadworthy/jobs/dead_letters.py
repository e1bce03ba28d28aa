"""Dead letters in bulk: which there are, and retrying or discarding exactly those that were counted and confirmed.

An operation goes through its set in batches, each kept with the note of how far it came. One that was interrupted goes
on where it was when the same is asked for again, and no job that was revived and died again meanwhile is in its set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from roadworthy.errors import InvalidFilter
from roadworthy.jobs.operations import JobRecord

Action = Literal["retry", "discard"]

BATCH = 500
MOST_IDS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadFilter:
    """Which dead jobs: those that everything given applies to, all without any.

    `error_class` may leave its module out. `message` is a part of the error's message, case and all. `died_after` is
    inclusive, `died_before` not; `younger_than` and `older_than` count back from when the set is settled.
    `arguments` are values that the job's arguments have, `arguments_path` is a predicate in SQL/JSON path language.
    `at_most` takes those that died first.

    Raises InvalidFilter where a value can match nothing.
    """

    queue: str | None = None
    job: str | None = None
    error_class: str | None = None
    message: str | None = None
    died_after: datetime | None = None
    died_before: datetime | None = None
    younger_than: timedelta | None = None
    older_than: timedelta | None = None
    arguments: Mapping[str, Any] | None = None
    arguments_path: str | None = None
    ids: tuple[int, ...] | None = None
    at_most: int | None = None

    def __post_init__(self) -> None:
        for name in ("died_after", "died_before"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise InvalidFilter(f"{name}={moment.isoformat()} has no time zone; add one, as in 2030-01-31T12:00Z")
        if self.at_most is not None and self.at_most < 1:
            raise InvalidFilter(f"at_most={self.at_most} leaves no job; pass 1 or more")
        if self.ids is not None and len(self.ids) > MOST_IDS:
            raise InvalidFilter(f"{len(self.ids):,} ids are more than {MOST_IDS:,}; filter by what the jobs share")

    @property
    def document(self) -> dict[str, Any]:
        """The filter as JSON, without what is not asked for; equal filters are equal documents."""
        document: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if value is None:
                continue
            if isinstance(value, timedelta):
                value = value.total_seconds()
            elif isinstance(value, datetime):
                value = value.isoformat()
            elif one.name == "ids":
                value = sorted(set(value))
            document[one.name] = value
        return document


EVERYTHING = DeadFilter()


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead jobs of one queue, job and error class; `example` is the id of the latest enqueued, `message` its error."""

    queue: str
    job: str
    error_class: str
    count: int
    first_died_at: datetime
    last_died_at: datetime
    example: int
    message: str


@dataclass(frozen=True, slots=True)
class DeadSelection:
    """A set that was settled: `count` dead jobs of `filter`. `marks` are the backend's own."""

    filter: DeadFilter
    count: int
    marks: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that somebody did to jobs.

    `asked` is how many were confirmed, `changed` how many were touched, `conflicts` how many stayed dead because
    another job has their unique key now. Without `finished_at` it was interrupted, or is under way.
    """

    id: int
    at: datetime
    who: str
    action: str
    filter: dict[str, Any]
    reason: str | None
    per_second: float | None
    asked: int
    changed: int
    conflicts: int
    finished_at: datetime | None


class DeadLetters(Protocol):
    """Looks after the dead letters. Found as `engine.dead_letters`.

    A method raises DatabaseUnavailable when the backend cannot be reached, and InvalidFilter for a JSON path that
    it cannot read.
    """

    async def groups(self, filter: DeadFilter = EVERYTHING) -> list[DeadGroup]:
        """What died, by queue, job and error class, the most frequent first."""

    async def jobs(
        self, filter: DeadFilter = EVERYTHING, *, limit: int = 50, before: int | None = None
    ) -> list[JobRecord]:
        """Dead jobs, latest enqueued first; `before` is the last id of the page before."""

    async def choose(self, filter: DeadFilter = EVERYTHING) -> DeadSelection:
        """Settle the set that a later operation touches: what dies after this is not in it."""

    async def begin(
        self, action: Action, chosen: DeadSelection, *, who: str, reason: str | None, per_second: float | None
    ) -> AuditEntry:
        """Note an operation, whose first batch is the next `proceed`.

        `per_second` spreads the times at which revived jobs become due, so that they do not come all at once.
        """

    async def unfinished(self, action: Action, filter: DeadFilter) -> AuditEntry | None:
        """The latest operation of `action` and `filter` that was begun and has not ended."""

    async def proceed(self, operation: int, *, limit: int = BATCH) -> AuditEntry:
        """Touch the next `limit` jobs of the operation's set; return how far it is."""

    async def abandon(self, operation: int) -> None:
        """End an operation where it is."""

    async def note(
        self, action: str, filter: Mapping[str, Any], *, asked: int, changed: int, who: str, reason: str | None = None
    ) -> None:
        """Note something that was done to jobs by other means."""

    async def audit(self, *, limit: int = 50, before: int | None = None) -> list[AuditEntry]:
        """What was done to jobs, latest first."""


async def carry_out(
    letters: DeadLetters,
    action: Action,
    filter: DeadFilter,
    *,
    who: str,
    reason: str | None = None,
    per_second: float | None = None,
    expected: int | None = None,
    progress: Callable[[AuditEntry], None] | None = None,
) -> AuditEntry:
    """Retry or discard the dead jobs of `filter`, or go on with what was begun and interrupted.

    `expected` is how many were confirmed; raise InvalidFilter and change nothing where it is another number now.
    `progress` is called after each batch.
    """
    state = await letters.unfinished(action, filter)
    if state is None:
        chosen = await letters.choose(filter)
        if expected is not None and chosen.count != expected:
            raise InvalidFilter(f"{chosen.count} dead jobs match, not {expected}; nothing was changed. Look again")
        state = await letters.begin(action, chosen, who=who, reason=reason, per_second=per_second)
    return await finish(letters, state, progress=progress)


async def finish(
    letters: DeadLetters, state: AuditEntry, *, progress: Callable[[AuditEntry], None] | None = None
) -> AuditEntry:
    """Do what is left of an operation."""
    while state.finished_at is None:
        state = await letters.proceed(state.id)
        if progress is not None:
            progress(state)
    return state


def named(ids: Sequence[int]) -> DeadFilter:
    """Return the filter of these ids."""
    return DeadFilter(ids=tuple(ids))
