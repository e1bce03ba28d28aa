"""`roadworthy jobs cancel`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from roadworthy.cli.arguments import add_json, command, positive
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.jobs.desk import Desk, add_who, count_of, who, with_desk
from roadworthy.cli.output import print_json


def add(actions: Any) -> None:
    """Add the actions."""
    cancel = command(
        actions,
        "cancel",
        help="end jobs that wait or run, without success",
        description="End jobs that wait, at once, and ask those that run to end; what waits for their success ends\n"
        "with them. Dead ones are left alone: discard those.",
        examples="  roadworthy jobs cancel 42 43\n  roadworthy jobs cancel 42 --reason 'wrong customer'",
    )
    cancel.add_argument("ids", nargs="+", type=positive, metavar="ID", help="the ids of the jobs")
    add_who(cancel)
    add_json(cancel)
    cancel.set_defaults(run=with_desk(_cancel))


async def _cancel(options: argparse.Namespace, desk: Desk) -> int:
    ids = list(dict.fromkeys(options.ids))
    ended, running = await desk.engine.flows.cancel(ids)
    await desk.engine.dead_letters.note(
        "cancel", {"ids": ids}, asked=len(ids), changed=ended + running, who=who(options), reason=options.reason
    )
    missing = max(len(ids) - ended - running, 0)
    if options.json:
        print_json({"asked": len(ids), "ended": ended, "running": running})
    else:
        print(f"{count_of(ended)} ended, {count_of(running)} asked to end")
        if missing:
            print(f"{count_of(missing)} not found, or dead: discard those", file=sys.stderr)
    return NO if missing else DONE
