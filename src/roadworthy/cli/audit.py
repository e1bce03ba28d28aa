"""`roadworthy audit`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command, positive
from roadworthy.cli.database import when, with_pool
from roadworthy.cli.exits import DONE
from roadworthy.cli.jobs.desk import moment
from roadworthy.cli.output import print_json, print_table

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "audit",
        help="tell who did what to what, when and from where",
        description="List what is in the audit, the latest first: what the service noted itself, what was done to API\n"
        "keys, and what was done to jobs by hand. Nothing in it can be changed.\n"
        "The database is DATABASE_URL's, or the embedded PostgreSQL in ROADWORTHY_DATA_DIR, running or not.",
        examples="  roadworthy audit\n"
        "  roadworthy audit --action site --since 7d\n"
        "  roadworthy audit --actor shop_4fTb81Qz --json",
    )
    parser.add_argument("--action", metavar="WORDS", help="of this action, or those below it: api_key, api_key.revoke")
    add_options(parser)
    parser.set_defaults(run=with_pool(show))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every listing of the audit takes."""
    parser.add_argument("--subject", help="what it was done to")
    parser.add_argument("--actor", help="who did it")
    parser.add_argument("--since", type=when, metavar="WHEN", help="from this time on, or so long ago: 7d, 2h")
    parser.add_argument("--limit", type=positive, default=50, metavar="N", help="at most N (default 50)")
    parser.add_argument("--before", type=positive, metavar="ID", help="the page after the one that ended with ID")
    add_json(parser)


async def show(options: argparse.Namespace, pool: Pool) -> int:
    """Print the entries that the options let through."""
    from roadworthy.security.audit import AuditFilter, read

    filter = AuditFilter(options.action, options.subject, options.actor, options.since)
    entries = await read(pool, filter, limit=options.limit, before=options.before)
    if options.json:
        print_json({"audit": [asdict(entry) for entry in entries]})
    elif entries:
        rows = [
            (
                entry.id, moment(entry.at), entry.actor, entry.action, entry.subject or "-", entry.origin or "-",
                json.dumps(entry.detail) if entry.detail else "-",
            )
            for entry in entries
        ]  # fmt: skip
        print_table(("ID", "AT", "ACTOR", "ACTION", "SUBJECT", "FROM", "DETAIL"), rows, right=("ID",))
    else:
        print("the audit has no such entry")
    return DONE
