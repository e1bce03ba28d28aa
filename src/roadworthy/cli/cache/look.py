"""`roadworthy cache get` and `keys`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command, positive
from roadworthy.cli.cache.desk import Desk, add_service, with_desk
from roadworthy.cli.cache.entries import read
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.output import print_json, styled

if TYPE_CHECKING:
    from roadworthy.cli.cache.entries import Stored

_SHOWN = 100
KEYS = (
    "The key of a cached function's call begins with the function's name, as its .key() tells:\n"
    'search("shop", "tea") with key="{site}:{q}" has the key search:shop:tea; what is no plain word is in quotes.'
)


def add(actions: Any) -> None:
    """Add the actions."""
    get = command(
        actions,
        "get",
        help="show one value, how old it is and what tags it has",
        description=f"Show the value that processes share under a key of a cache. Exits with 1 where there is none\n"
        f"that would be used.\n{KEYS}",
        examples="  roadworthy cache get results search:shop:tea\n"
        "  roadworthy cache get results search:shop:tea --json",
    )
    get.add_argument("cache", metavar="CACHE", help="the cache")
    get.add_argument("key", metavar="KEY", help="the key")
    add_service(get)
    add_json(get)
    get.set_defaults(run=with_desk(_get))
    keys = command(
        actions,
        "keys",
        help="list keys",
        description="List the keys that a cache has in the store, in no particular order. Those that were invalidated\n"
        "are there until their time has come.",
        examples="  roadworthy cache keys results\n  roadworthy cache keys results 'search:shop:*' --limit 20",
    )
    keys.add_argument("cache", metavar="CACHE", help="the cache")
    keys.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="* is any characters, ? one")
    keys.add_argument(
        "--limit", type=positive, default=_SHOWN, metavar="N", help=f"at most so many (default: {_SHOWN})"
    )
    add_service(keys)
    add_json(keys)
    keys.set_defaults(run=with_desk(_keys))


async def _get(options: argparse.Namespace, desk: Desk) -> int:
    from roadworthy.cache.keys import given
    from roadworthy.cache.stamp import seconds_of

    cache = desk.cache(options.cache)
    prefix, key = desk.prefix(cache), given(options.key)
    found = await read(desk, prefix, [prefix + key])
    if not found:
        if options.json:
            print_json({"cache": cache.name, "key": key, "state": "missing"})
        else:
            print(
                f"cache {cache.name!r} has no {key!r} in the store; `roadworthy cache keys` lists what it has",
                file=sys.stderr,
            )
        return NO
    (stored,) = found
    age = max(await desk.store.now() - seconds_of(stored.entry.stamp), 0.0)
    if options.json:
        print_json(_document(cache.name, key, stored, age))
    else:
        _print(key, stored, age)
    return NO if stored.state == "dead" else DONE


def _document(cache: str, key: str, stored: Stored, age: float) -> dict[str, Any]:
    entry = stored.entry
    return {
        "cache": cache,
        "key": key,
        "state": stored.state,
        "invalidated_by": stored.dead_by,
        "age_seconds": round(age, 3),
        "fresh_until": _moment(entry.fresh_until),
        "kept_until": _moment(entry.kept_until),
        "loading_seconds": round(entry.cost, 6),
        "tags": list(entry.tags),
        "bytes": stored.size,
        "value": _value(stored),
    }


def _print(key: str, stored: Stored, age: float) -> None:
    from roadworthy.cache.tags import EVERYTHING

    state: str = stored.state
    if stored.dead_by is not None:
        state = (
            "dead: the cache was cleared" if stored.dead_by == EVERYTHING else f"dead: {stored.dead_by} was invalidated"
        )
    print(styled(key, "bold"))
    for name, value in (
        ("state", state),
        ("age", f"{age:,.1f} s"),
        ("fresh until", _moment(stored.entry.fresh_until)),
        ("kept until", _moment(stored.entry.kept_until)),
        ("loading took", f"{stored.entry.cost * 1000:,.1f} ms"),
        ("tags", " ".join(stored.entry.tags) or "-"),
        ("bytes", f"{stored.size:,}"),
    ):
        print(f"  {name:<12} {value}")
    print_json(_value(stored))


def _value(stored: Stored) -> Any:
    """Return the value as JSON has it, or where it has no form for that, as Python shows it."""
    import msgspec

    try:
        value = msgspec.msgpack.decode(stored.entry.data)
    except msgspec.MsgspecError:
        return f"<{len(stored.entry.data)} bytes that are no MessagePack>"
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError):
        return repr(value)
    return value


def _moment(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


async def _keys(options: argparse.Namespace, desk: Desk) -> int:
    prefix = desk.prefix(desk.cache(options.cache))
    found: dict[str, None] = {}
    async for names in desk.store.names(prefix, options.pattern):
        found.update(dict.fromkeys(name[len(prefix) :] for name in names))
        if len(found) > options.limit:
            break
    shown, more = list(found)[: options.limit], len(found) > options.limit
    if options.json:
        print_json({"cache": options.cache, "keys": shown, "more": more})
        return DONE
    for key in shown:
        print(key)
    if more:
        print(f"and more; take a narrower pattern, or a --limit above {options.limit}", file=sys.stderr)
    elif not shown:
        print("no key matches", file=sys.stderr)
    return DONE
