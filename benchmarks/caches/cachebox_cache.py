"""cachebox: caches as dictionaries in the process, in Rust."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cachebox

from .subject import AsyncCall, Lookup, Subject, SyncCall


class Cachebox(Subject):
    """`@cached` on a TTLCache with its defaults, which copy a dictionary at each hit."""

    def decorated_sync(self, loader: SyncCall) -> SyncCall:
        return cachebox.cached(cachebox.TTLCache(10_000, 600))(loader)

    def decorated(self, loader: AsyncCall) -> AsyncCall:
        return cachebox.cached(cachebox.TTLCache(10_000, 600))(loader)


class _Bounded(Subject):
    kind: Callable[[int], Any]

    def memory(self, size: int) -> Lookup:
        cache = type(self).kind(size)

        def look_up(key: str) -> bool:
            if cache.get(key) is not None:
                return True
            cache[key] = True
            return False

        return look_up


class CacheboxLru(_Bounded):
    """Drops what was used longest ago."""

    kind = cachebox.LRUCache


class CacheboxLfu(_Bounded):
    """Drops what was used least often."""

    kind = cachebox.LFUCache


class CacheboxTtl(_Bounded):
    """Drops what ends first, which is what was put first."""

    @staticmethod
    def kind(size: int) -> Any:
        return cachebox.TTLCache(size, 600)
