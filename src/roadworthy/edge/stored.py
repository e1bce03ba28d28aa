"""A response as a cache keeps it."""

from __future__ import annotations

import msgspec

Fields = tuple[tuple[bytes, bytes], ...]


class StoredResponse(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One response, whole. Times are Unix time in seconds.

    `headers` are in their order, repeated ones apart, names in lower case. `initial_age` and `lifetime` are as
    RFC 9111, section 4.2, computes them, in seconds; `always_validate` says that it is never used unasked (`no-cache`).
    It may be used stale for `stale_while` seconds while it is fetched anew, and for `stale_error` where that fails; at
    all only if `may_be_stale`. `for_all` says that the application marked it as meant for shared caches, so that
    credentials in a request play no part. `route` is the label that its first request had in the metrics.

    Without a status it is a signpost: the responses of its URL depend on the request headers that `vary` names, and
    are kept under a key for each combination of their values.
    """

    status: int
    headers: Fields = ()
    body: bytes = b""
    requested: float = 0.0
    received: float = 0.0
    initial_age: float = 0.0
    lifetime: float = 0.0
    fresh_until: float = 0.0
    always_validate: bool = False
    may_be_stale: bool = True
    stale_while: float = 0.0
    stale_error: float = 0.0
    for_all: bool = False
    etag: bytes | None = None
    last_modified: bytes | None = None
    vary: tuple[bytes, ...] = ()
    tags: tuple[str, ...] = ()
    route: str | None = None

    def age(self, now: float) -> float:
        """Return its age in seconds (RFC 9111, section 4.2.3)."""
        return self.initial_age + max(0.0, now - self.received)

    def remaining(self, now: float) -> float:
        """Return for how many seconds it is still fresh, negative where it is stale."""
        return self.lifetime - self.age(now)

    @property
    def size(self) -> int:
        """What it takes in memory, roughly, in bytes."""
        return 700 + len(self.body) + sum(130 + len(name) + len(value) for name, value in self.headers)


def signpost(vary: tuple[bytes, ...]) -> StoredResponse:
    """Return what stands under a URL whose responses depend on the request headers `vary`."""
    return StoredResponse(status=0, vary=vary)
