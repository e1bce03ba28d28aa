"""`roadworthy jobs schedules`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.exits import DONE
from roadworthy.cli.jobs.desk import Desk, moment, with_desk
from roadworthy.cli.output import print_json, print_table


def add(actions: Any) -> None:
    """Add the action."""
    schedules = command(
        actions,
        "schedules",
        help="say when repeating jobs fire next",
        description="Say when repeating jobs fire next, in their own time zones, and when a scheduler last said so.",
        examples="  roadworthy jobs schedules\n  roadworthy jobs schedules --json",
    )
    add_json(schedules)
    schedules.set_defaults(run=with_desk(_schedules))


async def _schedules(options: argparse.Namespace, desk: Desk) -> int:
    from roadworthy.jobs.upcoming import upcoming

    found = upcoming(await desk.engine.schedules(), await desk.engine.now())
    if options.json:
        print_json({"schedules": [asdict(one) for one in found]})
    elif found:
        rows = [
            (
                "unknown time zone" if one.next_fire is None else one.next_fire.isoformat(" ", "seconds"),
                one.schedule,
                one.definition,
                moment(one.last_fire),
                moment(one.seen_at),
            )
            for one in found
        ]
        print_table(("NEXT FIRE", "SCHEDULE", "WHEN", "LAST FIRE", "SEEN"), rows)
    else:
        print("no job repeats, or no scheduler has run yet")
    return DONE
