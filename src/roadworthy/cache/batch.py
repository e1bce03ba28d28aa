"""Many values at once: one look at the tiers, and one call to the source for those that are missing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from roadworthy.cache.flight import Flight
from roadworthy.cache.record import Entry
from roadworthy.cache.source import Source
from roadworthy.cache.tiers import Tiers, retyped
from roadworthy.cache.values import Codec, handed_out

LoadMany = Callable[[list[str]], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class AskMany:
    """What a caller wants: the values of keys, or what `load` returns for those that are missing."""

    keys: Sequence[str]
    codec: Codec
    load: LoadMany
    tags: tuple[str, ...] = ()
    ttl: timedelta | None = None


class Batches:
    """Gets many, and loads what is missing of them."""

    def __init__(self, tiers: Tiers, source: Source) -> None:
        """Work on `tiers`, with the time-outs of `source`."""
        self._tiers = tiers
        self._source = source

    async def get_or_set_many(self, ask: AskMany) -> dict[str, Any]:
        """Return a value for each key, in their order; None for those that the source does not have.

        Keys that another caller loads are waited for. Those it is left with are loaded by one call, and stale ones by
        one in the background. Raises as `Source.obtain`.
        """
        keys = list(dict.fromkeys(ask.keys))
        names = {key: self._tiers.prefix + key for key in keys}
        found = await self._tiers.find_many(names.values(), ask.codec)
        entries: dict[str, Entry | None] = {}
        old: dict[str, Entry] = {}
        for key in keys:
            if (one := found.get(names[key])) is not None and one.entry is not None:
                entries[key] = one.entry
                if one.state != "fresh":
                    old[key] = one.entry
        missing = [key for key in keys if key not in entries]
        if self._source.transacting():
            values = {key: handed_out(entry) for key, entry in entries.items() if entry is not None}
            loaded = await ask.load(missing) if missing else {}
            return {key: values[key] if key in values else loaded.get(key) for key in keys}
        if old:
            self._refresh_soon(ask, [key for key in old if self._source.may_refresh(names[key])])
        if missing:
            entries |= await self._loaded(ask, missing)
        return {key: None if (entry := entries.get(key)) is None else handed_out(entry) for key in keys}

    def _refresh_soon(self, ask: AskMany, keys: Sequence[str]) -> None:
        if keys:
            self._begin(ask, keys)

    async def _loaded(self, ask: AskMany, keys: Sequence[str]) -> dict[str, Entry | None]:
        names = {key: self._tiers.prefix + key for key in keys}
        flights = {key: self._source.under_way(names[key], ask.tags) for key in keys}
        begun = self._begin(ask, [key for key, flight in flights.items() if flight is None])
        found: dict[str, Entry | None] = {}
        wait = self._source.patience(f"{len(keys)} keys")
        for key in keys:
            entry = await wait(flights[key] or begun[key])
            found[key] = None if entry is None else retyped(entry, ask.codec)
        # A loading that others began may have ended without a value that this caller can use.
        again = [key for key, flight in flights.items() if flight is not None and found[key] is None]
        return found | (await self._loaded(ask, again) if again else {})

    def _begin(self, ask: AskMany, keys: Sequence[str]) -> dict[str, Flight[Entry | None]]:
        flights = {key: self._source.begin(self._tiers.prefix + key) for key in keys}
        if flights:
            self._source.start(self._fly(ask, flights), flights.values())
        return flights

    async def _fly(self, ask: AskMany, flights: Mapping[str, Flight[Entry | None]]) -> None:
        try:
            async with self._source.limit():
                await self._load(ask, flights)
        except BaseException as error:
            for flight in flights.values():
                flight.fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            for key, flight in flights.items():
                flight.land(None)
                self._source.end(self._tiers.prefix + key, flight)

    async def _load(self, ask: AskMany, flights: Mapping[str, Flight[Entry | None]]) -> None:
        tiers = self._tiers
        await tiers.learn(ask.tags)
        stamp, mark = tiers.node.clock.began(), tiers.knowledge.mark()
        for flight in flights.values():
            flight.stamp = stamp
        values, cost = await self._source.timed(
            lambda: ask.load(list(flights)), [self._tiers.prefix + key for key in flights]
        )
        made: dict[str, Entry] = {}
        for key, flight in flights.items():
            value = values.get(key)
            if key not in values and tiers.spec.negative_ttl is None:
                flight.land(None)
                continue
            share = cost / len(flights)
            entry = tiers.made(value, ask.codec, stamp=stamp, cost=share, tags=ask.tags, ttl=ask.ttl)
            tiers.admit(tiers.prefix + key, entry, mark)
            made[key] = entry
            if tiers.local is not None:
                flight.land(entry)
        await tiers.share_many([(tiers.prefix + key, entry) for key, entry in made.items()])
        for key, entry in made.items():
            flights[key].land(entry)
