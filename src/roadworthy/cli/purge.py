"""`roadworthy purge`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, add_target, command, positive, target
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.output import print_json, print_table
from roadworthy.errors import InvalidPurge, SettingError

if TYPE_CHECKING:
    from roadworthy.edge.cdn import Cdn
    from roadworthy.edge.purge import Purge
    from roadworthy.edge.sender import Ended

_TIMEOUT_SECONDS = 60
_BAD = ("refused", "failed")


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "purge",
        help="have a service's CDNs let go of what they keep",
        description="Purge URLs, tags, prefixes or everything at every CDN that a service declares, and wait\n"
        "until each has accepted it. The credentials are in the environment variables that the declaration names.",
        examples="  roadworthy purge app.service --tag site:7 --tag front\n"
        "  roadworthy purge app.service --url https://shop.example/news/\n"
        "  roadworthy purge app.service --all --json",
    )
    add_target(parser)
    parser.add_argument("--url", action="append", default=[], help="purge this URL alone; may be repeated")
    parser.add_argument("--tag", action="append", default=[], help="purge what bears this tag; may be repeated")
    parser.add_argument("--prefix", action="append", default=[], help="purge what lies below this URL; may be repeated")
    parser.add_argument("--all", action="store_true", help="purge everything")
    parser.add_argument(
        "--timeout",
        type=positive,
        default=_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help=f"how long to try in all (default: {_TIMEOUT_SECONDS})",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Purge, and say what became of it."""
    from roadworthy.edge.purge import Purge

    if options.all and (options.url or options.tag or options.prefix):
        raise InvalidPurge("--all covers every URL, tag and prefix; give it alone, or leave it out")
    purge = Purge(tuple(options.url), tuple(options.tag), tuple(options.prefix), options.all)
    service = target(options).service
    cdns = service.spec.cdns
    if not cdns:
        raise InvalidPurge(f"service {service.name!r} declares no CDN; add service.purge_with(...) to it")
    ends = asyncio.run(_purged(cdns, purge, options.timeout))
    bad = [end for end in ends if end.outcome in _BAD]
    if options.json:
        print_json({"purges": [_document(end) for end in ends]})
    else:
        print_table(
            ("CDN", "KIND", "OUTCOME", "COUNT", "REASON"),
            [(end.cdn, end.kind or "-", end.outcome, end.count, end.reason) for end in ends],
            right=("COUNT",),
        )
        if bad:
            print("error: not everything was purged; the CDN may serve what is out of date", file=sys.stderr)
    return NO if bad else DONE


async def _purged(cdns: Sequence[Cdn], purge: Purge, timeout: int) -> list[Ended]:
    from roadworthy.edge.metrics import CATALOGUE
    from roadworthy.edge.purger import missing, opened
    from roadworthy.telemetry.registry import MetricRegistry

    for cdn in cdns:
        if absent := missing(cdn, os.environ):
            raise SettingError(f"CDN {cdn.name!r} needs {', '.join(absent)}, which is not set; set it and try again")
    ends: list[Ended] = []
    async with opened(cdns, os.environ, MetricRegistry(CATALOGUE), ended=ends.append, drain=timeout) as purger:
        purger.ask(purge)
    return [end for end in ends if end.outcome != "covered"]


def _document(end: Ended) -> dict[str, Any]:
    return {
        "cdn": end.cdn,
        "kind": end.kind,
        "outcome": end.outcome,
        "count": end.count,
        "values": end.values,
        "reason": end.reason,
    }
