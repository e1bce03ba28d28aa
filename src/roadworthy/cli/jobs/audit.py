"""`roadworthy jobs audit`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from roadworthy.cli.arguments import add_json, command, positive
from roadworthy.cli.exits import DONE
from roadworthy.cli.jobs.desk import Desk, moment, with_desk
from roadworthy.cli.output import print_json, print_table


def add(actions: Any) -> None:
    """Add the action."""
    audit = command(
        actions,
        "audit",
        help="tell who did what to jobs, and why",
        description="List what was done to jobs by hand, latest first: when, by whom, to which and how many, and why.\n"
        "One that has not ended was interrupted, or is under way.",
        examples="  roadworthy jobs audit\n  roadworthy jobs audit --limit 500 --json",
    )
    audit.add_argument("--limit", type=positive, default=50, metavar="N", help="at most N (default 50)")
    audit.add_argument("--before", type=positive, metavar="ID", help="the page after the one that ended with ID")
    add_json(audit)
    audit.set_defaults(run=with_desk(_audit))


async def _audit(options: argparse.Namespace, desk: Desk) -> int:
    entries = await desk.engine.dead_letters.audit(limit=options.limit, before=options.before)
    if options.json:
        print_json({"audit": [asdict(entry) for entry in entries]})
    elif entries:
        rows = [
            (
                entry.id,
                moment(entry.at),
                entry.who,
                entry.action,
                entry.asked,
                entry.changed,
                entry.conflicts,
                "interrupted" if entry.finished_at is None else "ended",
                json.dumps(entry.filter),
                entry.reason or "-",
            )
            for entry in entries
        ]
        header = ("ID", "AT", "WHO", "ACTION", "ASKED", "CHANGED", "CONFLICTS", "STATE", "FILTER", "REASON")
        print_table(header, rows, right=("ID", "ASKED", "CHANGED", "CONFLICTS"))
    else:
        print("nothing was done to jobs by hand")
    return DONE
