"""`roadworthy keys revoke`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.database import with_pool
from roadworthy.cli.exits import DONE
from roadworthy.cli.jobs.desk import add_who
from roadworthy.cli.keys.desk import asker, described, document, id_given, refused
from roadworthy.cli.output import print_json

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool


def add(actions: Any) -> None:
    """Add the action."""
    revoke = command(
        actions,
        "revoke",
        help="end a key for good, everywhere within a second",
        description="End an API key for good. It works in no process a second later; one that cannot reach the\n"
        "database goes by what it knew for as long as the service declares with stale=.\n"
        "Exits with 1 where no such key is in force.",
        examples="  roadworthy keys revoke shop_4fTb81Qz\n"
        "  roadworthy keys revoke shop_4fTb81Qz --yes --reason 'it was in a log'",
    )
    revoke.add_argument("id", type=id_given, metavar="ID", help="the key's id, or the key")
    revoke.add_argument("--yes", action="store_true", help="do it without asking")
    add_who(revoke)
    add_json(revoke)
    revoke.set_defaults(run=with_pool(_revoke))


async def _revoke(options: argparse.Namespace, pool: Pool) -> int:
    from roadworthy.security import keys

    record = await keys.find(pool, options.id)
    if record is not None and (refusal := await refused(options, f"Revoke {described(record)}?")) is not None:
        return refusal
    revoked = await keys.revoke(pool, options.id, by=asker(options))
    if options.json:
        print_json({"key": document(revoked)})
    else:
        print(f"{revoked.id} is revoked")
    return DONE
