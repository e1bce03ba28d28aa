"""What the benchmark asks of a cache, and what all of them are asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

KEYS: Final = 1_000
VALUE: Final[dict[str, Any]] = {
    "id": 48_213_377,
    "url": "https://example.org/articles/a-page-of-some-length/",
    "title": "A page that somebody looked for and found",
    "score": 17.25,
    "language": "en",
    "indexed": True,
}
"""What is cached: a flat record of six fields, about 150 bytes encoded."""

AsyncCall = Callable[[str], Awaitable[Any]]
SyncCall = Callable[[str], Any]


def names(prefix: str = "key") -> list[str]:
    """Return the keys, in the order in which they are asked for."""
    return [f"{prefix}-{number}" for number in range(KEYS)]


async def load(_key: str) -> dict[str, Any]:
    """Return the value of a key, a dictionary of its own as from a source."""
    return dict(VALUE)


def load_sync(_key: str) -> dict[str, Any]:
    """Return the value of a key, a dictionary of its own as from a source."""
    return dict(VALUE)


class Subject:
    """A cache. What one has no way to do, it leaves as it is; `offers` tells.

    `url` is the Redis of the run, empty where there is none; `postgres` an empty database.
    """

    def __init__(self, url: str = "", postgres: str = "") -> None:
        self.url = url
        self.postgres = postgres

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Let go of everything."""

    def decorated(self, loader: AsyncCall) -> AsyncCall:
        """Return `loader` as an async function cached in memory, by its key."""
        raise NotImplementedError

    def decorated_sync(self, loader: SyncCall) -> SyncCall:
        """Return `loader` as a function cached in memory, by its key."""
        raise NotImplementedError

    async def fill(self, keys: list[str]) -> None:
        """Put the value under keys into the shared tier."""
        raise NotImplementedError

    async def get(self, key: str) -> Any:
        """Return what the shared tier has under a key, memory aside."""
        raise NotImplementedError

    def get_in_thread(self, key: str) -> Any:
        """Return what the shared tier has under a key, in a thread."""
        raise NotImplementedError

    def protected(self, loader: AsyncCall) -> AsyncCall:
        """Return `loader` cached in the shared tier, asked by as few callers at once as the cache can have it."""
        raise NotImplementedError

    def over_shared(self, loader: AsyncCall) -> AsyncCall:
        """Return `loader` cached in the shared tier alone, as one plainly does."""
        raise NotImplementedError

    def memory(self, size: int) -> Lookup:
        """Return a memory tier for `size` entries."""
        raise NotImplementedError

    @classmethod
    def offers(cls, method: str) -> bool:
        """Whether this cache has `method`."""
        return getattr(cls, method) is not getattr(Subject, method)


Lookup = Callable[[str], bool]
"""Looks a key up, keeps it where it was not there, and says whether it was."""
