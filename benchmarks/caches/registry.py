"""Which caches are compared, by the names in the table."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from .subject import Subject

OURS: Final = "roadworthy"
OVER_POSTGRES: Final = f"{OURS} over PostgreSQL"

SUBJECTS: Final[dict[str, str]] = {
    OURS: "roadworthy_cache.Roadworthy",
    OVER_POSTGRES: "roadworthy_cache.RoadworthyPostgres",
    "limit: dictionary": "limits.Dictionary",
    "limit: functools.lru_cache": "limits.LruCache",
    "limit: one pipelined connection, bytes": "limits.Pipelined",
    "cachebox": "cachebox_cache.Cachebox",
    "cachetools": "cachetools_cache.Cachetools",
    "dogpile": "dogpile_cache.Dogpile",
    "cashews": "cashews_cache.Cashews",
    "aiocache": "aiocache_cache.Aiocache",
    "valkey-glide: GET, bytes": "redis_clients.ValkeyGlide",
    "redis-py asyncio: GET, bytes": "redis_clients.RedisPy",
    "redis-py threads: GET, bytes": "redis_clients.RedisPyThreads",
    "coredis: GET, bytes": "redis_clients.Coredis",
    "cachebox LRU": "cachebox_cache.CacheboxLru",
    "cachebox LFU": "cachebox_cache.CacheboxLfu",
    "cachebox TTL": "cachebox_cache.CacheboxTtl",
    "cachetools LRU": "cachetools_cache.CachetoolsLru",
    "cachetools LFU": "cachetools_cache.CachetoolsLfu",
}
"""Ours first, then what bounds it, then the peers: the module of each and its class."""


def kind_of(name: str) -> type[Subject]:
    """Return the class of a cache. A process that runs one does not load the others, which takes a second."""
    module, _, kind = SUBJECTS[name].partition(".")
    found: type[Subject] = getattr(import_module(f"{__package__}.{module}"), kind)
    return found
