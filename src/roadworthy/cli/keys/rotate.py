"""`roadworthy keys rotate`."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.database import duration, with_pool
from roadworthy.cli.exits import DONE
from roadworthy.cli.jobs.desk import add_who
from roadworthy.cli.keys.desk import asker, described, document, id_given, refused, show_issued
from roadworthy.cli.output import print_json

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool


def add(actions: Any) -> None:
    """Add the action."""
    rotate = command(
        actions,
        "rotate",
        help="make a key that replaces one, while both work",
        description="Make an API key like another one, and print it. The other one works on for the overlap, in which\n"
        "whoever uses it changes over, and then ends. With --overlap 0 it ends within a second.",
        examples="  roadworthy keys rotate shop_4fTb81Qz --overlap 7d\n"
        "  roadworthy keys rotate shop_4fTb81Qz --overlap 0 --yes --reason 'it was in a log'",
    )
    rotate.add_argument("id", type=id_given, metavar="ID", help="the key's id, or the key")
    rotate.add_argument(
        "--overlap",
        type=duration,
        default=timedelta(days=1),
        metavar="TIME",
        help="for how long both work (default 1d)",
    )
    rotate.add_argument("--yes", action="store_true", help="do it without asking")
    add_who(rotate)
    add_json(rotate)
    rotate.set_defaults(run=with_pool(_rotate))


async def _rotate(options: argparse.Namespace, pool: Pool) -> int:
    from roadworthy.security import keys

    record = await keys.find(pool, options.id)
    if record is not None:
        ends = f"in {options.overlap}" if options.overlap else "at once"
        if (refusal := await refused(options, f"Replace {described(record)}, which ends {ends}?")) is not None:
            return refusal
    issued = await keys.rotate(pool, options.id, overlap=options.overlap, by=asker(options))
    if options.json:
        old = await keys.find(pool, options.id)
        replaced = None if old is None else document(old)
        print_json({"secret": issued.secret, "key": document(issued.record), "replaced": replaced})
    else:
        show_issued(issued)
    return DONE
