"""Dead letters in this process's memory, and the model of those in a database."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from roadworthy.errors import InvalidFilter
from roadworthy.jobs.dead_letters import (
    BATCH,
    EVERYTHING,
    Action,
    AuditEntry,
    DeadFilter,
    DeadGroup,
    DeadSelection,
)
from roadworthy.jobs.memory_flows import MemoryFlows
from roadworthy.jobs.memory_operations import record_of
from roadworthy.jobs.memory_store import Kept, Store
from roadworthy.jobs.operations import JobRecord


@dataclass(slots=True)
class _Operation:
    """An operation and what is left of its set, by id and lease: a job that was revived has another lease."""

    entry: AuditEntry
    left: list[tuple[int, int]]
    next_run_at: datetime | None = None


class MemoryDeadLetters:
    """The dead letters without a database. It evaluates no JSON path."""

    def __init__(self, store: Store, flows: MemoryFlows) -> None:
        """`store` and `flows` are the engine's."""
        self._store = store
        self._flows = flows
        self._operations: dict[int, _Operation] = {}
        self._numbers = itertools.count(1)

    async def groups(self, filter: DeadFilter = EVERYTHING) -> list[DeadGroup]:
        """Count what died; see `DeadLetters.groups`."""
        kinds: dict[tuple[str, str, str], list[Kept]] = {}
        for kept in self._matching(replace(filter, at_most=None)):
            kinds.setdefault((kept.new.queue, kept.new.job, kept.failures[-1]["error_class"]), []).append(kept)
        groups = []
        for kind, dead in kinds.items():
            example = max(dead, key=lambda kept: kept.id)
            died = [kept.run_at for kept in dead]
            groups.append(
                DeadGroup(*kind, len(dead), min(died), max(died), example.id, example.failures[-1]["message"])
            )
        return sorted(groups, key=lambda group: (-group.count, group.queue, group.job, group.error_class))

    async def jobs(
        self, filter: DeadFilter = EVERYTHING, *, limit: int = 50, before: int | None = None
    ) -> list[JobRecord]:
        """Return dead jobs; see `DeadLetters.jobs`."""
        found = [kept for kept in self._matching(replace(filter, at_most=None)) if before is None or kept.id < before]
        found.sort(key=lambda kept: kept.id, reverse=True)
        return [record_of(kept) for kept in found[: min(limit, filter.at_most or limit)]]

    async def choose(self, filter: DeadFilter = EVERYTHING) -> DeadSelection:
        """Settle a set; see `DeadLetters.choose`."""
        marks = [(kept.id, kept.lease) for kept in self._matching(filter)]
        return DeadSelection(filter, len(marks), marks)

    async def begin(
        self, action: Action, chosen: DeadSelection, *, who: str, reason: str | None, per_second: float | None
    ) -> AuditEntry:
        """Note an operation; see `DeadLetters.begin`."""
        entry = self._entry(action, chosen.filter.document, chosen.count, 0, who, reason, per_second)
        self._operations[entry.id] = _Operation(entry, list(chosen.marks))
        return entry

    async def unfinished(self, action: Action, filter: DeadFilter) -> AuditEntry | None:
        """Return what was interrupted; see `DeadLetters.unfinished`."""
        entries = (one.entry for one in reversed(self._operations.values()))
        return next(
            (
                entry
                for entry in entries
                if entry.finished_at is None and (entry.action, entry.filter) == (action, filter.document)
            ),
            None,
        )

    async def proceed(self, operation: int, *, limit: int = BATCH) -> AuditEntry:
        """Do the next batch; see `DeadLetters.proceed`."""
        one = self._operations[operation]
        if one.entry.finished_at is not None:
            return one.entry
        batch: list[Kept] = []
        while one.left and len(batch) < limit:
            id, lease = one.left.pop(0)
            kept = self._store.kept.get(id)
            if kept is not None and kept.state == "dead" and kept.lease == lease:
                batch.append(kept)
        changed = self._retry(one, batch) if one.entry.action == "retry" else self._discard(batch)
        one.entry = replace(
            one.entry,
            changed=one.entry.changed + changed,
            conflicts=one.entry.conflicts + len(batch) - changed,
            finished_at=self._store.clock() if len(batch) < limit else None,
        )
        return one.entry

    def _retry(self, operation: _Operation, batch: list[Kept]) -> int:
        now = self._store.clock()
        starts = max(now, operation.next_run_at or now)
        rate = operation.entry.per_second
        apart = timedelta(0) if rate is None else timedelta(seconds=1 / rate)
        changed = 0
        # As a database inserts them: of two with one key, the first enqueued gets it.
        for place, kept in sorted(enumerate(batch), key=lambda one: one[1].id):
            if kept.key is not None and self._store.taken(kept.key):
                continue
            kept.attempt = 0
            kept.failures.clear()
            self._store.make_ready(kept, starts + place * apart)
            changed += 1
        operation.next_run_at = starts + len(batch) * apart
        return changed

    def _discard(self, batch: list[Kept]) -> int:
        self._flows.drop([kept.id for kept in batch], keep=False)
        return len(batch)

    async def abandon(self, operation: int) -> None:
        """End an operation where it is; see `DeadLetters.abandon`."""
        one = self._operations[operation]
        one.entry = replace(one.entry, finished_at=one.entry.finished_at or self._store.clock())

    async def note(
        self, action: str, filter: Mapping[str, Any], *, asked: int, changed: int, who: str, reason: str | None = None
    ) -> None:
        """Note what was done; see `DeadLetters.note`."""
        entry = self._entry(action, dict(filter), asked, changed, who, reason, None)
        self._operations[entry.id] = _Operation(replace(entry, finished_at=entry.at), [])

    async def audit(self, *, limit: int = 50, before: int | None = None) -> list[AuditEntry]:
        """Return what was done; see `DeadLetters.audit`."""
        entries = [one.entry for one in reversed(self._operations.values())]
        return [entry for entry in entries if before is None or entry.id < before][:limit]

    def _entry(
        self,
        action: str,
        filter: dict[str, Any],
        asked: int,
        changed: int,
        who: str,
        reason: str | None,
        per_second: float | None,
    ) -> AuditEntry:
        number, now = next(self._numbers), self._store.clock()
        return AuditEntry(number, now, who, action, filter, reason, per_second, asked, changed, 0, None)

    def _matching(self, filter: DeadFilter) -> list[Kept]:
        """Return the dead jobs of `filter` in the order of their deaths."""
        if filter.arguments_path is not None:
            raise InvalidFilter("jobs in memory cannot be found by arguments_path; use arguments={...}")
        now = self._store.clock()
        dead = [kept for kept in self._store.kept.values() if kept.state == "dead" and _matches(kept, filter, now)]
        dead.sort(key=lambda kept: (kept.run_at, kept.id))
        return dead[: filter.at_most]


def _matches(kept: Kept, filter: DeadFilter, now: datetime) -> bool:
    failure = kept.failures[-1]
    return (
        filter.queue in (None, kept.new.queue)
        and filter.job in (None, kept.new.job)
        and (filter.error_class is None or f".{failure['error_class']}".endswith(f".{filter.error_class}"))
        and (filter.message is None or filter.message in failure["message"])
        and (filter.died_after is None or kept.run_at >= filter.died_after)
        and (filter.died_before is None or kept.run_at < filter.died_before)
        and (filter.younger_than is None or kept.run_at >= now - filter.younger_than)
        and (filter.older_than is None or kept.run_at < now - filter.older_than)
        and (filter.ids is None or kept.id in filter.ids)
        and (filter.arguments is None or _contains(json.loads(kept.new.arguments), filter.arguments))
    )


def _contains(value: Any, wanted: Any) -> bool:
    """Whether `value` contains `wanted` as PostgreSQL's `@>` has it."""
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(
            key in value and _contains(value[key], one) for key, one in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(_contains(one, part) for one in value) for part in wanted)
    return type(value) is type(wanted) and bool(value == wanted)
