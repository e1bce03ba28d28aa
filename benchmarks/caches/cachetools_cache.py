"""cachetools: caches as dictionaries in the process."""

from __future__ import annotations

import threading

import cachetools

from .subject import Lookup, Subject, SyncCall


class Cachetools(Subject):
    """`@cached` on a TTLCache with a lock, as its documentation has it for threads."""

    def decorated_sync(self, loader: SyncCall) -> SyncCall:
        return cachetools.cached(cachetools.TTLCache(10_000, 600), lock=threading.RLock())(loader)


class _Bounded(Subject):
    kind: type[cachetools.Cache[str, bool]]

    def memory(self, size: int) -> Lookup:
        cache = self.kind(size)

        def look_up(key: str) -> bool:
            if cache.get(key) is not None:
                return True
            cache[key] = True
            return False

        return look_up


class CachetoolsLru(_Bounded):
    """Drops what was used longest ago."""

    kind = cachetools.LRUCache


class CachetoolsLfu(_Bounded):
    """Drops what was used least often."""

    kind = cachetools.LFUCache
