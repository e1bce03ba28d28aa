"""`roadworthy keys list`."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command, positive
from roadworthy.cli.database import with_pool
from roadworthy.cli.exits import DONE
from roadworthy.cli.jobs.desk import moment
from roadworthy.cli.keys.desk import document, id_given
from roadworthy.cli.output import print_json, print_table

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool


def add(actions: Any) -> None:
    """Add the action."""
    listing = command(
        actions,
        "list",
        help="list keys, without their secrets",
        description="List the API keys in force, the latest first: whose they are, what they may do, when they were\n"
        "last used, to the minute, and when they end.",
        examples="  roadworthy keys list\n  roadworthy keys list --owner acme --all --json",
    )
    listing.add_argument("--keys", metavar="NAME", help="of this declaration alone")
    listing.add_argument("--owner", help="of this owner alone")
    listing.add_argument("--all", action="store_true", help="those that have expired or were revoked, too")
    listing.add_argument("--limit", type=positive, default=100, metavar="N", help="at most N (default 100)")
    listing.add_argument("--after", type=id_given, metavar="ID", help="the page after the one that ended with ID")
    add_json(listing)
    listing.set_defaults(run=with_pool(_list))


async def _list(options: argparse.Namespace, pool: Pool) -> int:
    from roadworthy.security import keys

    found = await keys.listed(
        pool, options.keys, owner=options.owner, ended=options.all, limit=options.limit, after=options.after
    )
    if options.json:
        print_json({"keys": [document(record) for record in found]})
    elif found:
        now = datetime.now().astimezone()
        rows = [
            (
                record.id, record.state(now), record.owner or "-", " ".join(record.scopes) or "-", record.limit or "-",
                moment(record.created_at), moment(record.last_used_at), moment(record.expires_at), record.name,
            )
            for record in found
        ]  # fmt: skip
        print_table(("ID", "STATE", "OWNER", "SCOPES", "LIMIT", "CREATED", "LAST USED", "ENDS", "NAME"), rows)
    else:
        print("there is no such API key")
    return DONE
