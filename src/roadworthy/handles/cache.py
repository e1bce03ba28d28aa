"""The handle of a cache."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

from roadworthy.cache.batch import AskMany
from roadworthy.cache.caches import CacheStatistics, OpenCache
from roadworthy.cache.keys import given
from roadworthy.cache.source import Ask, Bypassed
from roadworthy.cache.spec import CacheSpec
from roadworthy.cache.tags import tag_of
from roadworthy.cache.values import ANY, Codec, handed_out
from roadworthy.declaration import declaring_place
from roadworthy.errors import DeclarationError, InvalidKey, NotRunning
from roadworthy.handles.cached import CachedCall, Caching, cached, plain_cached
from roadworthy.handles.host import Host
from roadworthy.handles.purge import invalidated

T = TypeVar("T")


class Cache:
    """The handle of a cache: values by key, from this process's memory, a store that processes share, or their source.

    Keys are texts. What `get` and the others are told with `type=` is what a value is decoded as; without it, as
    MessagePack knows it. Within a transaction of the service's database, changes take effect in this process at once,
    and everywhere when it has committed; and what is not cached is loaded for the caller alone, and not kept.

    A store that is away is no error: reads go on without it, changes are written when it is back.
    """

    def __init__(self, service: Host, spec: CacheSpec) -> None:
        """Declared with `Service.cache`."""
        self.spec = spec
        self._service = service
        self._what = f"cache {spec.name!r}"
        self._functions: dict[str, str] = {}
        self._codecs: dict[Any, Codec] = {Any: ANY}

    @property
    def open(self) -> OpenCache:
        """The cache as it runs; raises NotRunning."""
        caches = self._service.binding(self._what).caches
        if caches is None:
            raise NotRunning(self._what)
        return caches.of(self.spec.name)

    async def get(self, key: str, default: Any = None, *, type: Any = Any) -> Any:
        """Return the value of a key, fresh or stale; `default` where there is none."""
        cache = self.open
        found = await cache.tiers.find(cache.name_of(given(key)), self._codec(type))
        return default if found.entry is None else handed_out(found.entry)

    async def get_many(self, keys: Iterable[str], *, type: Any = Any) -> dict[str, Any]:
        """Return the values of those keys that have one, in one exchange with the store."""
        cache = self.open
        names = {key: cache.name_of(given(key)) for key in keys}
        found = await cache.tiers.find_many(names.values(), self._codec(type))
        return {
            key: handed_out(entry)
            for key, name in names.items()
            if name in found and (entry := found[name].entry) is not None
        }

    async def set(
        self, key: str, value: Any, *, ttl: timedelta | None = None, tags: Sequence[str] = (), type: Any = Any
    ) -> None:
        """Keep a value, fresh for `ttl`, by default the cache's; it takes the place of whatever was loaded before.

        Raise InvalidValue for what MessagePack cannot carry, ValueError for a `ttl` above the cache's.
        """
        await self.set_many({key: value}, ttl=ttl, tags=tags, type=type)

    async def set_many(
        self, values: Mapping[str, Any], *, ttl: timedelta | None = None, tags: Sequence[str] = (), type: Any = Any
    ) -> None:
        """Keep values by key, in one exchange with the store; as `set`."""
        cache = self.open
        named = {cache.name_of(given(key)): value for key, value in values.items()}
        await cache.set_many(named, self._codec(type), _tags(tags), self._ttl(ttl))

    async def delete(self, *keys: str) -> None:
        """Delete keys everywhere; what is being loaded for them is not kept."""
        cache = self.open
        await cache.delete([cache.name_of(given(key)) for key in keys])

    async def get_or_set(
        self,
        key: str,
        load: Callable[[], Awaitable[T]],
        *,
        ttl: timedelta | None = None,
        tags: Sequence[str] = (),
        type: Any = Any,
    ) -> T:
        """Return the value of a key, or what `load` returns, which is kept; however many ask, one loads.

        Raises:
            SourceTimeout: it took longer than the cache's `timeout`, and no stale value is at hand.
            InvalidValue: what it returned is not of the type.
            Exception: whatever `load` raised, where no stale value is at hand.
        """
        cache = self.open
        ask = Ask(cache.name_of(given(key)), self._codec(type), load, _tags(tags), self._ttl(ttl))
        try:
            entry = await cache.source.obtain(ask)
        except Bypassed:
            return await load()
        return cast(T, handed_out(entry))

    async def get_or_set_many(
        self,
        keys: Iterable[str],
        load: Callable[[list[str]], Awaitable[Mapping[str, T]]],
        *,
        ttl: timedelta | None = None,
        tags: Sequence[str] = (),
        type: Any = Any,
    ) -> dict[str, T | None]:
        """Return a value for each key; `load` is called once, with the keys that have none, and returns theirs.

        What it leaves out is None, and kept as that where the cache has a `negative_ttl`. One process does not wait
        for another's loading here. Raises as `get_or_set`.
        """
        cache = self.open
        keys = list(keys)
        for key in keys:
            if given(key) != key:
                raise InvalidKey(f"the key {key!r} is too long or not printable for get_or_set_many; shorten it")
        ask = AskMany(keys, self._codec(type), load, _tags(tags), self._ttl(ttl))
        return await cache.batches.get_or_set_many(ask)

    async def invalidate(self, *tags: str) -> None:
        """Have everything with one of these tags be dead, everywhere, in one step however much it is.

        The CDNs of `Service.purge_with` let go of what bears one of them as well.
        """
        if tags:
            await self.open.invalidate(_tags(tags))
            invalidated(self._service.binding(f"cache {self.spec.name!r}"), tags)

    async def clear(self) -> None:
        """Have everything in this cache be dead, everywhere."""
        await self.open.clear()

    async def delete_matching(self, pattern: str) -> int:
        """Delete the keys that are as `pattern` says, `*` for any characters and `?` for one; return how many.

        It looks at every name in the cache: prefer tags where it is done often.
        """
        return await self.open.delete_matching(given(pattern))

    def cached(self, *, key: str | None = None, tags: Sequence[str] = (), ttl: timedelta | None = None) -> Caching:
        """Make a function's results cached.

        `key` is a template over its parameters, as in "{site}:{q}"; what is not in it does not tell calls apart.
        Without one, all parameters do. `tags` are templates as well. The function's name comes before every key.

        An async function stays one. A plain one is for threads: it waits as `from_thread` does, and runs in a thread.
        The result is decoded as the annotation says; it belongs to the caller.

        Raises:
            DeclarationError: a template or the annotation cannot work, or the cache has a function of that name.
        """
        self._ttl(ttl)

        def declare(function: Callable[..., Any]) -> Any:
            name = function.__name__
            if name in self._functions:
                raise DeclarationError(
                    f"{declaring_place()}: cache {self.spec.name!r} has a function {name!r} already, from "
                    f"{self._functions[name]}, whose keys would be the same; rename one of them"
                )
            self._functions[name] = declaring_place()
            call = CachedCall.of(lambda: self.open, function, key, tags, ttl)
            return cached(call) if inspect.iscoroutinefunction(function) else plain_cached(call)

        return cast(Caching, declare)

    def statistics(self) -> CacheStatistics:
        """Return what this process counted."""
        return self.open.statistics()

    def _codec(self, kind: Any) -> Codec:
        try:
            codec = self._codecs.get(kind)
        except TypeError:
            return Codec(kind, f"a value of cache {self.spec.name!r}")
        if codec is None:
            codec = self._codecs[kind] = Codec(kind, f"a value of cache {self.spec.name!r}")
        return codec

    def _ttl(self, ttl: timedelta | None) -> timedelta | None:
        if ttl is not None and not timedelta(0) < ttl <= self.spec.ttl:
            raise ValueError(
                f"ttl={ttl} is not within the ttl={self.spec.ttl} of cache {self.spec.name!r}; invalidations are "
                "remembered for as long as that, so declare the longest one there"
            )
        return ttl


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tags, str):
        raise InvalidKey(f"tags={tags!r} is one text; write a list of them, as in [{tags!r}]")
    return tuple(dict.fromkeys(map(tag_of, tags)))
