"""What a shared store does for caches: the seam between the tiers above and Redis, PostgreSQL or another.

A store keeps records (`record.py`) and tags' stamps under names that it is given whole, lets the newest stamp win, and
tells all nodes what changed in the order in which it changed. It is an accelerator: every method may raise StoreDown,
at once or within the time-out, and callers go on without it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from roadworthy.outage import StoreDown as StoreDown
from roadworthy.outage import StoreRefused as StoreRefused

Action = Literal["set", "delete", "tag"]


@dataclass(frozen=True, slots=True)
class Change:
    """What a node is told of a change: a key that was set or deleted, or a tag that was invalidated, and its stamp.

    `sender` is the node that made it.
    """

    action: Action
    name: str
    stamp: int
    sender: int


@dataclass(frozen=True, slots=True)
class Write:
    """A record to keep under `name` for `lifetime` seconds, where none with a newer stamp is there."""

    name: str
    record: bytes
    stamp: int
    lifetime: float
    action: Literal["set", "delete"] = "set"


class Store(Protocol):
    """A store that the processes of a service share. Names are whole: service, cache and key.

    One instance a process serves all its caches.
    """

    async def get(self, name: str) -> bytes | None:
        """Return the record under a name."""

    async def get_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the records under names, in their order, in one exchange."""

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """Keep records whose stamp is not below that of what is there; say of each whether it was kept.

        All nodes are told of those that were, in the same step.
        """

    async def tag_stamps(self, tags: Sequence[str]) -> list[int]:
        """Return when each tag was last invalidated, 0 where that is not known, in one exchange."""

    async def invalidate(self, tags: Sequence[str], *, lifetime: float, stamp: int | None = None) -> int:
        """Note that everything with one of these tags that began to load before now is dead; return the stamp of now.

        It is remembered for `lifetime` seconds. The stamp is by the store's own clock; one that is given is for an
        invalidation that could not be written when it was made. A tag's stamp never falls. All nodes are told.
        """

    def names(self, prefix: str, pattern: str) -> AsyncIterator[list[str]]:
        """Yield the names that begin with `prefix` and go on as `pattern` says (`*` and `?`), in batches."""

    async def acquire(self, name: str, token: str, lease: float) -> bool:
        """Take the lock of a name for `lease` seconds, or renew it; False where another token has it."""

    async def release(self, name: str, token: str) -> bool:
        """Give the lock of a name back; False where this token did not have it any more."""

    async def now(self) -> float:
        """Return the store's time, Unix time in seconds."""

    def listening(
        self, changed: Callable[[Change], None], interrupted: Callable[[], None]
    ) -> AbstractAsyncContextManager[None]:
        """Tell of every change by any node within an `async with`, this one's own included, in their order.

        `interrupted` is called when changes may have been missed: before the first of a new connection is told.
        """

    async def close(self) -> None:
        """Let go of connections."""
