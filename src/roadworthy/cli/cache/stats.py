"""`roadworthy cache stats`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.cache.desk import Desk, add_service, with_desk
from roadworthy.cli.cache.entries import read
from roadworthy.cli.cache.scraping import rates, scraped
from roadworthy.cli.exits import DONE
from roadworthy.cli.output import print_json, print_table

if TYPE_CHECKING:
    from roadworthy.cache.rates import Rate
    from roadworthy.cache.spec import CacheSpec

_SAMPLED = 2_000
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Content:
    """What a cache has in the store: its names, and of the first two thousand, read whole, what state they are in."""

    names: int = 0
    sampled: int = 0
    fresh: int = 0
    stale: int = 0
    dead: int = 0
    bytes: int = 0

    def of_all(self, count: int) -> int:
        """Return what was counted in the sample for all names."""
        return count if self.sampled >= self.names else round(count * self.names / self.sampled)


def add(actions: Any) -> None:
    """Add the action."""
    stats = command(
        actions,
        "stats",
        help="tell how full each cache is, and how often it has the answer",
        description="Tell of each cache how many entries it has in the store, in what state, and the bytes that they\n"
        f"take: past {_SAMPLED:,} entries from that many of them, marked with ~. Dead ones were invalidated, and go\n"
        "when their time has come. How often a cache had the answer comes from the processes that answer on the\n"
        "operations port of this machine (ROADWORTHY_OPERATIONS_PORT), counted since each of them began.",
        examples="  roadworthy cache stats\n  roadworthy cache stats --json\n"
        "  ROADWORTHY_OPERATIONS_PORT=9200 roadworthy cache stats --service shop.service",
    )
    add_service(stats)
    add_json(stats)
    stats.set_defaults(run=with_desk(_stats))


async def _stats(options: argparse.Namespace, desk: Desk) -> int:
    host, port = desk.settings.operations_host, desk.settings.operations_port
    text = await asyncio.to_thread(scraped, host, port)
    counted = None if text is None else rates(text, desk.spec.name)
    contents = {cache.name: await _content(desk, cache) for cache in desk.shared}
    if options.json:
        caches = [_document(cache, contents.get(cache.name), counted) for cache in desk.spec.caches]
        print_json({"store": desk.where, "measured": counted is not None, "caches": caches})
        return DONE
    header = ("CACHE", "TTL", "STALE FOR", "ENTRIES", "FRESH", "STALE", "DEAD", "BYTES", "HITS", "LOADED")
    rows = [_row(cache, contents.get(cache.name), counted) for cache in desk.spec.caches]
    print_table(header, rows, right=header[1:])
    if counted is None:
        silent = "nothing answers" if text is None else "another service answers"
        print(
            f"the share of hits is not known here: {silent} on the operations port, {host}:{port}. Each process counts "
            "for itself; see cache_lookups_total in its metrics",
            file=sys.stderr,
        )
    return DONE


async def _content(desk: Desk, cache: CacheSpec) -> Content:
    prefix = desk.prefix(cache)
    names = sampled = size = 0
    states = {"fresh": 0, "stale": 0, "dead": 0}
    async for some in desk.store.names(prefix, "*"):
        names += len(some)
        for start in range(0, min(len(some), _SAMPLED - sampled), _BATCH):
            asked = some[start : min(start + _BATCH, start + _SAMPLED - sampled)]
            sampled += len(asked)
            for stored in await read(desk, prefix, asked):
                states[stored.state] += 1
                size += stored.size
    return Content(names, sampled, **states, bytes=size)


def _row(cache: CacheSpec, content: Content | None, counted: dict[str, Rate] | None) -> tuple[object, ...]:
    rate = None if counted is None else counted.get(cache.name)
    ratio = None if rate is None else rate.ratio
    return (
        cache.name,
        _seconds(cache.ttl.total_seconds()),
        _seconds(cache.stale.total_seconds()),
        *_figures(content),
        "-" if ratio is None else f"{100 * ratio:.1f} %",
        "-" if rate is None else f"{rate.loaded:,}",
    )


def _figures(content: Content | None) -> tuple[str, ...]:
    if content is None:
        return ("-",) * 5
    about = "" if content.sampled >= content.names else "~"
    states = (content.fresh, content.stale, content.dead, content.bytes)
    return f"{content.names:,}", *(f"{about}{content.of_all(count):,}" for count in states)


def _document(cache: CacheSpec, content: Content | None, counted: dict[str, Rate] | None) -> dict[str, Any]:
    rate = None if counted is None else counted.get(cache.name)
    return {
        "cache": cache.name,
        "tiers": list(cache.tiers),
        "ttl_seconds": cache.ttl.total_seconds(),
        "stale_seconds": cache.stale.total_seconds(),
        "store": None
        if content is None
        else {
            "entries": content.names,
            "sampled": content.sampled,
            **{name: content.of_all(getattr(content, name)) for name in ("fresh", "stale", "dead", "bytes")},
        },
        "lookups": None
        if rate is None
        else {
            "hits": rate.hits,
            "stale": rate.stale,
            "misses": rate.misses,
            "loaded": rate.loaded,
            "hit_ratio": rate.ratio,
        },
    }


def _seconds(value: float) -> str:
    return f"{value:,g} s"
