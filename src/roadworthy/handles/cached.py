"""Cached functions: what `Cache.cached` makes of one."""

from __future__ import annotations

import asyncio
import inspect
import typing
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial, wraps
from typing import Any, ParamSpec, Protocol, TypeVar, overload
from uuid import UUID

from roadworthy.bridge import from_thread
from roadworthy.cache.caches import OpenCache
from roadworthy.cache.keys import Call, KeyTemplate
from roadworthy.cache.record import Entry
from roadworthy.cache.source import Ask, Bypassed
from roadworthy.cache.tags import TagTemplate
from roadworthy.cache.thread import in_thread
from roadworthy.cache.values import Codec, handed_out
from roadworthy.errors import DeclarationError, WrongThread

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

Arguments = tuple[Any, ...] | Mapping[str, Any]
"""One call's arguments: in order, or by name."""

_ALIKE = frozenset((str, int, bool, type(None), bytes, date, UUID))
"""Types of which two equal values have one key, so that a call of them can lead to its entry without making the key."""


class CachedFunction(Protocol[P, R]):
    """An async function whose results are cached."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Return the cached result of a call, or run it."""

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of a call, as the cache's other methods take it."""

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Delete the result of a call, everywhere."""

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a call now, whatever is cached, and keep its result."""

    def uncached(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run a call past the cache."""

    async def warm(self, calls: Iterable[Arguments], *, at_once: int = 4) -> int:
        """Have the results of these calls cached, `at_once` at a time; return how many failed."""


class PlainCachedFunction(Protocol[P, R]):
    """A plain function whose results are cached, to be called in threads, as are its methods except `key`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the cached result of a call, or run it."""

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of a call, as the cache's other methods take it."""

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Delete the result of a call, everywhere."""

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a call now, whatever is cached, and keep its result."""

    def uncached(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a call past the cache."""

    def warm(self, calls: Iterable[Arguments], *, at_once: int = 4) -> int:
        """Have the results of these calls cached, `at_once` at a time; return how many failed."""


class Caching(Protocol):
    """Makes a function a cached one."""

    # A coroutine function is a function as well; the first that fits counts.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> CachedFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> PlainCachedFunction[P, R]: ...


@dataclass(frozen=True, slots=True)
class CachedCall:
    """How the calls of one function are cached. `table` has the calls that lead straight to their entry."""

    open: Callable[[], OpenCache]
    function: Callable[..., Any]
    call: Call
    keys: KeyTemplate
    tags: tuple[TagTemplate, ...]
    codec: Codec
    ttl: timedelta | None
    table: dict[Any, Entry] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        open: Callable[[], OpenCache],
        function: Callable[..., Any],
        key: str | None,
        tags: Sequence[str],
        ttl: timedelta | None,
    ) -> CachedCall:
        """Compile; raise DeclarationError where something cannot work."""
        call = Call(function)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise DeclarationError(
                f"cached function {call.name!r} is a generator, whose values are gone once used; return a list"
            )
        if isinstance(tags, str):
            raise DeclarationError(f"cached function {call.name!r} has tags={tags!r}; write a list, as in [{tags!r}]")
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except NameError as error:
            raise DeclarationError(
                f"cached function {call.name!r} has an annotation that cannot be resolved: {error}"
            ) from None
        codec = Codec(hints.get("return", Any), f"the result of cached function {call.name!r}")
        templates = tuple(TagTemplate(tag, call.names, call.name) for tag in tags)
        return cls(open, function, call, KeyTemplate(key, call), templates, codec, ttl)

    def key(self, *args: Any, **kwargs: Any) -> str:
        """Return the key of a call."""
        return self.keys.of(self.call.bound(args, kwargs))

    def ask(self, cache: OpenCache, args: tuple[Any, ...], kwargs: Mapping[str, Any], load: Callable[[], Any]) -> Ask:
        """Return what a call asks of its cache."""
        arguments = self.call.bound(args, kwargs)
        tags = tuple(dict.fromkeys(template.of(arguments) for template in self.tags))
        return Ask(cache.name_of(self.keys.of(arguments)), self.codec, load, tags, self.ttl)

    async def result(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], call: Any, load: Callable[[], Any]) -> Any:
        """Return the result of a call, and have `call` lead to it; raise Bypassed where the caller has to load."""
        cache = self.open()
        ask = self.ask(cache, args, kwargs, load)
        entry = await cache.source.obtain(ask)
        if cache.tiers.local is not None and _is_alike(args) and _is_alike(kwargs.values()):
            cache.tiers.local.lead(ask.name, entry, self.table, call)
        return handed_out(entry)

    async def refreshed(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], load: Callable[[], Any]) -> Any:
        """Load the result of a call now; raise Bypassed where the caller has to."""
        cache = self.open()
        return handed_out(await cache.source.refresh(self.ask(cache, args, kwargs, load)))

    async def delete(self, *args: Any, **kwargs: Any) -> None:
        """Delete the result of a call."""
        cache = self.open()
        await cache.delete([cache.name_of(self.key(*args, **kwargs))])


def cached(how: CachedCall) -> Any:
    """Return an async function with its results cached."""
    function, table = how.function, how.table
    found = table.get

    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            values = kwargs.values()
            made = (args, *map(type, args), *kwargs, *values, *map(type, values))
        else:
            made = (args, *map(type, args))
        try:
            entry = found(made)
        except TypeError:
            entry = None
        if entry is not None:
            tally = entry.tally
            if entry.generation == tally.generation and tally.monotonic() < entry.quiet_until:
                tally.hits += 1
                entry.hits += 1
                copy = entry.copy
                return entry.value if copy is None else copy(entry.value)
        try:
            return await how.result(args, kwargs, made, partial(function, *args, **kwargs))
        except Bypassed:
            pass
        return await function(*args, **kwargs)

    async def refresh(*args: Any, **kwargs: Any) -> Any:
        try:
            return await how.refreshed(args, kwargs, partial(function, *args, **kwargs))
        except Bypassed:
            await how.delete(*args, **kwargs)
        return await function(*args, **kwargs)

    async def warm(calls: Iterable[Arguments], *, at_once: int = 4) -> int:
        return await _warmed(call, calls, at_once)

    return _with(call, how, refresh=refresh, invalidate=how.delete, warm=warm)


def plain_cached(how: CachedCall) -> Any:
    """Return a plain function with its results cached, for threads."""
    function, table = how.function, how.table

    def load(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[], Any]:
        return partial(in_thread, partial(function, *args, **kwargs))

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if asyncio._get_running_loop() is not None:
            raise WrongThread(
                f"cached function {how.call.name!r} was called on the event loop, which it would block; call it in a "
                "thread, as with asyncio.to_thread(), or make it async"
            )
        made = _named(args, kwargs)
        entry = _straight(table, made)
        if entry is not None:
            entry.tally.hit_in_thread()
            return handed_out(entry)
        try:
            return from_thread(how.result(args, kwargs, made, load(args, kwargs)))
        except Bypassed:
            pass
        return function(*args, **kwargs)

    def refresh(*args: Any, **kwargs: Any) -> Any:
        try:
            return from_thread(how.refreshed(args, kwargs, load(args, kwargs)))
        except Bypassed:
            from_thread(how.delete(*args, **kwargs))
        return function(*args, **kwargs)

    def invalidate(*args: Any, **kwargs: Any) -> None:
        from_thread(how.delete(*args, **kwargs))

    def warm(calls: Iterable[Arguments], *, at_once: int = 4) -> int:
        async def one(*args: Any, **kwargs: Any) -> Any:
            return await how.result(args, kwargs, _named(args, kwargs), load(args, kwargs))

        return from_thread(_warmed(one, calls, at_once))

    return _with(call, how, refresh=refresh, invalidate=invalidate, warm=warm)


def _with(call: Any, how: CachedCall, **methods: Any) -> Any:
    call.key = how.key
    call.uncached = how.function
    for name, method in methods.items():
        setattr(call, name, method)
    return call


def _named(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    values = kwargs.values()
    return (args, *map(type, args), *kwargs, *values, *map(type, values))


def _straight(table: Mapping[Any, Entry], call: Any) -> Entry | None:
    try:
        entry = table.get(call)
    except TypeError:
        return None
    if entry is None or entry.generation != entry.tally.generation:
        return None
    return entry if entry.tally.monotonic() < entry.quiet_until else None


def _is_alike(values: Iterable[Any]) -> bool:
    return all(type(value) in _ALIKE for value in values)


async def _warmed(call: Callable[..., Any], calls: Iterable[Arguments], at_once: int) -> int:
    waiting = iter(calls)
    failed = 0

    async def work() -> None:
        nonlocal failed
        for arguments in waiting:
            try:
                if isinstance(arguments, Mapping):
                    await call(**arguments)
                else:
                    await call(*arguments)
            except Exception:
                failed += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    return failed
