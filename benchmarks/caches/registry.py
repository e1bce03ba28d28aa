"""Which caches are compared, by the names in the table."""

from __future__ import annotations

from .aiocache_cache import Aiocache
from .cachebox_cache import Cachebox, CacheboxLfu, CacheboxLru, CacheboxTtl
from .cachetools_cache import Cachetools, CachetoolsLfu, CachetoolsLru
from .cashews_cache import Cashews
from .dogpile_cache import Dogpile
from .limits import Dictionary, LruCache, Pipelined
from .redis_clients import Coredis, RedisPy, RedisPyThreads, ValkeyGlide
from .roadworthy_cache import Roadworthy, RoadworthyPostgres
from .subject import Subject

OURS = "roadworthy"
OVER_POSTGRES = f"{OURS} over PostgreSQL"

SUBJECTS: dict[str, type[Subject]] = {
    OURS: Roadworthy,
    OVER_POSTGRES: RoadworthyPostgres,
    "limit: dictionary": Dictionary,
    "limit: functools.lru_cache": LruCache,
    "limit: one pipelined connection, bytes": Pipelined,
    "cachebox": Cachebox,
    "cachetools": Cachetools,
    "dogpile": Dogpile,
    "cashews": Cashews,
    "aiocache": Aiocache,
    "valkey-glide: GET, bytes": ValkeyGlide,
    "redis-py asyncio: GET, bytes": RedisPy,
    "redis-py threads: GET, bytes": RedisPyThreads,
    "coredis: GET, bytes": Coredis,
    "cachebox LRU": CacheboxLru,
    "cachebox LFU": CacheboxLfu,
    "cachebox TTL": CacheboxTtl,
    "cachetools LRU": CachetoolsLru,
    "cachetools LFU": CachetoolsLfu,
}
"""Ours first, then what bounds it, then the peers."""
