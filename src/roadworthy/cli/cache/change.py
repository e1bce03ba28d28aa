"""`roadworthy cache invalidate`, `delete` and `clear`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.cache.desk import Desk, add_service, with_desk
from roadworthy.cli.cache.look import KEYS
from roadworthy.cli.exits import DONE
from roadworthy.cli.output import print_json

if TYPE_CHECKING:
    from roadworthy.cache.spec import CacheSpec

_EVERYWHERE = (
    "Every process hears of it and drops what it had in memory; one whose connection was lost does on its return."
)


def add(actions: Any) -> None:
    """Add the actions."""
    invalidate = command(
        actions,
        "invalidate",
        help="have all that has a tag be loaded anew",
        description=f"Have everything with one of these tags be loaded anew, in every cache of the service or in one.\n"
        f"It costs the same however much that is. CDNs are not told: see `roadworthy purge --tag`.\n{_EVERYWHERE}",
        examples="  roadworthy cache invalidate site:shop\n"
        "  roadworthy cache invalidate user:7 user:8 --cache profiles",
    )
    invalidate.add_argument("tags", nargs="+", metavar="TAG", help="the tag")
    invalidate.add_argument("--cache", metavar="CACHE", help="in this cache alone")
    invalidate.set_defaults(run=with_desk(_invalidate))
    delete = command(
        actions,
        "delete",
        help="have single keys be loaded anew",
        description=f"Delete single keys of a cache; what is being loaded for them is not kept.\n{KEYS}\n{_EVERYWHERE}",
        examples="  roadworthy cache delete results search:shop:tea search:shop:coffee",
    )
    delete.add_argument("cache", metavar="CACHE", help="the cache")
    delete.add_argument("keys", nargs="+", metavar="KEY", help="the key")
    delete.set_defaults(run=with_desk(_delete))
    clear = command(
        actions,
        "clear",
        help="have everything in a cache be loaded anew",
        description=f"Have everything in a cache be loaded anew, each value when it is next asked for. The source\n"
        f"gets the load that the cache had kept from it.\n{_EVERYWHERE}",
        examples="  roadworthy cache clear results",
    )
    clear.add_argument("cache", metavar="CACHE", help="the cache")
    clear.set_defaults(run=with_desk(_clear))
    for parser in (invalidate, delete, clear):
        add_service(parser)
        add_json(parser)


async def _invalidate(options: argparse.Namespace, desk: Desk) -> int:
    from roadworthy.cache.tags import tag_of

    caches = desk.shared if options.cache is None else (desk.cache(options.cache),)
    tags = list(dict.fromkeys(map(tag_of, options.tags)))
    for cache in caches:
        await _end(desk, cache, tags)
    if options.json:
        print_json({"tags": tags, "caches": [cache.name for cache in caches]})
    else:
        print(f"{', '.join(tags)} invalidated in {', '.join(cache.name for cache in caches)}")
    private = [cache.name for cache in desk.spec.caches if cache not in desk.shared]
    if private and options.cache is None:
        print(f"not reached, in each process's memory alone: {', '.join(private)}", file=sys.stderr)
    if desk.spec.cdns:
        print("the CDNs keep what they have; see `roadworthy purge --tag`", file=sys.stderr)
    return DONE


async def _delete(options: argparse.Namespace, desk: Desk) -> int:
    from roadworthy.cache.keys import given
    from roadworthy.cache.record import Entry, encode
    from roadworthy.cache.remote import TOMBSTONE_SECONDS
    from roadworthy.cache.store import Write

    cache = desk.cache(options.cache)
    prefix = desk.prefix(cache)
    keys = list(dict.fromkeys(map(given, options.keys)))
    # Measured just before: a stamp behind the store's clock could leave what was loaded a moment ago.
    await desk.clock.measure(desk.store.now)
    stamp, until = desk.clock.asserted(), desk.clock.now() + TOMBSTONE_SECONDS
    record = encode(Entry(b"", stamp, until, until, tombstone=True))
    kept = await desk.store.write([Write(prefix + key, record, stamp, TOMBSTONE_SECONDS, "delete") for key in keys])
    overtaken = [key for key, was in zip(keys, kept, strict=True) if not was]
    if options.json:
        print_json({"cache": cache.name, "keys": keys, "overtaken": overtaken})
        return DONE
    print(f"{', '.join(key for key in keys if key not in overtaken) or 'nothing'} deleted from {cache.name}")
    if overtaken:
        print(f"written anew meanwhile, and left: {', '.join(overtaken)}", file=sys.stderr)
    return DONE


async def _clear(options: argparse.Namespace, desk: Desk) -> int:
    from roadworthy.cache.tags import EVERYTHING

    cache = desk.cache(options.cache)
    await _end(desk, cache, [EVERYTHING])
    if options.json:
        print_json({"cache": cache.name})
    else:
        print(f"{cache.name} cleared")
    return DONE


async def _end(desk: Desk, cache: CacheSpec, tags: Sequence[str]) -> None:
    from roadworthy.cache.remote import TOMBSTONE_SECONDS

    prefix = desk.prefix(cache)
    lifetime = cache.lifetime.total_seconds() + TOMBSTONE_SECONDS
    await desk.store.invalidate([prefix + tag for tag in tags], lifetime=lifetime)
