"""`roadworthy keys issue`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.database import duration, with_pool
from roadworthy.cli.exits import DONE
from roadworthy.cli.jobs.desk import add_who
from roadworthy.cli.keys.desk import add_service, asker, declared, document, show_issued
from roadworthy.cli.output import print_json

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool


def add(actions: Any) -> None:
    """Add the action."""
    issue = command(
        actions,
        "issue",
        help="make a key, and print it this once",
        description="Make an API key, as the service declares them, and print it. Only its digest is kept: it cannot\n"
        "be shown again.",
        examples="  roadworthy keys issue 'nightly export' --owner acme --scope read\n"
        "  roadworthy keys issue partner --limit 1000/minute --lifetime 90d --json",
    )
    issue.add_argument("name", metavar="NAME", help="what the key is for")
    add_service(issue)
    issue.add_argument("--owner", default="", help="whose it is, in the service's own words")
    issue.add_argument("--scope", action="append", default=[], help="what it may do; may be repeated")
    issue.add_argument("--limit", metavar="RATE", help="its own rate, as in 1000/minute (default: the usual one)")
    issue.add_argument("--lifetime", type=duration, metavar="TIME", help="for how long it works, as in 90d")
    add_who(issue)
    add_json(issue)
    issue.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from roadworthy.handles.api_keys import grant_of

    grant = grant_of(
        declared(options),
        options.name,
        owner=options.owner,
        scopes=options.scope,
        limit=options.limit,
        lifetime=options.lifetime,
    )

    async def issue(options: argparse.Namespace, pool: Pool) -> int:
        from roadworthy.security import keys

        issued = await keys.issue(pool, grant, asker(options))
        if options.json:
            print_json({"secret": issued.secret, "key": document(issued.record)})
        else:
            show_issued(issued)
        return DONE

    return with_pool(issue)(options)
