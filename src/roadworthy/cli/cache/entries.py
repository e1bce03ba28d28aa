"""What is in the store under names: each entry's state, by its age and by its tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from roadworthy.cache.record import Entry
    from roadworthy.cli.cache.desk import Desk

State = Literal["fresh", "stale", "dead"]


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry in the store and the bytes that it takes there. `dead_by` is the tag that ended it."""

    name: str
    entry: Entry
    size: int
    state: State
    dead_by: str | None = None


async def read(desk: Desk, prefix: str, names: Sequence[str]) -> list[Stored]:
    """Return what is in the store under names, deletions left out, in two exchanges."""
    from roadworthy.cache.record import decode
    from roadworthy.cache.tags import EVERYTHING

    records = await desk.store.get_many(names)
    found = [
        (name, entry, len(record))
        for name, record in zip(names, records, strict=True)
        if record is not None and (entry := decode(record)) is not None and not entry.tombstone
    ]
    tags = list(dict.fromkeys(tag for _, entry, _ in found for tag in (EVERYTHING, *entry.tags)))
    stamps = dict(zip(tags, await desk.store.tag_stamps([prefix + tag for tag in tags]), strict=True))
    now = await desk.store.now()
    return [_stored(name, entry, size, stamps, now) for name, entry, size in found]


def _stored(name: str, entry: Entry, size: int, stamps: dict[str, int], now: float) -> Stored:
    from roadworthy.cache.tags import EVERYTHING

    for tag in (EVERYTHING, *entry.tags):
        if entry.stamp <= stamps[tag]:
            return Stored(name, entry, size, "dead", tag)
    state: State = "fresh" if now < entry.fresh_until else "stale" if now < entry.kept_until else "dead"
    return Stored(name, entry, size, state)
