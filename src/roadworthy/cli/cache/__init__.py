"""`roadworthy cache`: one thin file for each group of its actions."""

from __future__ import annotations

from typing import Any

from roadworthy.cli.arguments import command
from roadworthy.cli.cache import change, look, stats

_STORE = (
    "What is looked at is the store that the service's processes share: the Redis of REDIS_URL, else the service's\n"
    "database: DATABASE_URL's, or the embedded PostgreSQL in ROADWORTHY_DATA_DIR, running or not. What a process has\n"
    "in its own memory, no other can see; but each hears of every change that is made here, and drops what it had."
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "cache",
        help="look at a service's caches, and invalidate, delete or clear what is in them",
        description=f"Look at the caches of a service, and have what is in them be loaded anew.\n{_STORE}",
        examples="  roadworthy cache stats                         how full each is, and how often it has the answer\n"
        "  roadworthy cache keys results 'search:*'       what is in one\n"
        "  roadworthy cache get results search:shop:tea   one value, how old it is, and its tags\n"
        "  roadworthy cache invalidate site:shop          all that has this tag, in every cache\n"
        "  roadworthy cache clear results                 everything in one",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for module in (stats, look, change):
        module.add(actions)
