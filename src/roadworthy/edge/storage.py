"""Where stored responses are kept: the seam between the HTTP cache and memory or the tiers of a cache."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from roadworthy.edge.stored import StoredResponse


class ResponseStorage(Protocol):
    """Keeps responses under keys, until they are deleted, their tags are invalidated, or their time is over.

    It never raises for being out of reach: what is not to be had is a miss.
    """

    def moment(self) -> Any:
        """Return now, as deletions and invalidations count it; taken before the application is asked."""

    def peek(self, key: str) -> StoredResponse | None:
        """Return the response under a key if it is at hand without waiting."""

    async def get(self, key: str) -> StoredResponse | None:
        """Return the response under a key, wherever it is."""

    async def put(self, key: str, response: StoredResponse, moment: Any, lifetime: float) -> bool:
        """Keep a response for `lifetime` seconds, unless its key or one of its tags went after `moment`.

        Return whether it is kept.
        """

    async def delete(self, key: str) -> None:
        """Forget what is under a key, and refuse what was asked for before now."""

    async def invalidate(self, tags: Iterable[str]) -> None:
        """Forget what bears one of these tags, and refuse what was asked for before now."""
