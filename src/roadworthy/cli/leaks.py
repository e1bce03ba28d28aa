"""`roadworthy database leaks`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import asdict
from typing import Any

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.database import opened
from roadworthy.cli.exits import BAD_USAGE, DONE, NO
from roadworthy.cli.output import print_json, print_table

_DATABASE = "The database is DATABASE_URL's, or the embedded PostgreSQL in ROADWORTHY_DATA_DIR, running or not."


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "database",
        help="tell what shows a role more than row-level security lets it see",
        description=f"Look at the database of a service.\n{_DATABASE}",
        examples="  roadworthy database leaks --role shop_reader",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    leaks = command(
        actions,
        "leaks",
        help="list what may show a role more than its policies do",
        description="List the tables, views and functions that a role can reach and that are not held to row-level\n"
        "security, each with the remedy. The exit code is 1 where there is one.",
        examples="  roadworthy database leaks --role shop_reader\n"
        "  roadworthy database leaks --role shop_reader --exempt currencies --json",
    )
    leaks.add_argument("--role", metavar="NAME", help="whose view it is (default: that of the connection)")
    leaks.add_argument(
        "--exempt", action="append", default=[], metavar="NAME", help="what is meant to be seen by all (repeatable)"
    )
    add_json(leaks)
    leaks.set_defaults(run=lambda options: asyncio.run(_leaks(options)))


async def _leaks(options: argparse.Namespace) -> int:
    from roadworthy.security import row_security

    async with opened("database", "tables") as database, database.pool.connection() as connection:
        try:
            found = await row_security.leaks(connection, options.role, options.exempt)
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return BAD_USAGE
    if options.json:
        print_json({"ok": not found, "leaks": [asdict(leak) for leak in found]})
    elif found:
        print_table(("KIND", "NAME", "WHY"), [(leak.kind, leak.name, leak.why) for leak in found])
    else:
        print("nothing shows more than its policies do")
    return NO if found else DONE
