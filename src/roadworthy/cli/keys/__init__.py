"""`roadworthy keys`: one thin file for each of its actions."""

from __future__ import annotations

from typing import Any

from roadworthy.cli.arguments import command
from roadworthy.cli.keys import audit, issue, listing, pattern, revoke, rotate

_DATABASE = "The database is DATABASE_URL's, or the embedded PostgreSQL in ROADWORTHY_DATA_DIR, running or not."


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "keys",
        help="issue, list, rotate and revoke API keys",
        description="Issue API keys, list them, replace them while both work, and end them in every process within a\n"
        f"second. What is done is audited.\n{_DATABASE}",
        examples="  roadworthy keys issue 'nightly export' --owner acme --scope read\n"
        "  roadworthy keys list --owner acme\n"
        "  roadworthy keys rotate shop_4fTb81Qz --overlap 7d\n"
        "  roadworthy keys revoke shop_4fTb81Qz --reason 'it was in a log'",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for module in (issue, listing, rotate, revoke, audit, pattern):
        module.add(actions)
