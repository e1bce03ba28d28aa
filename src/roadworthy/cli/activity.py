"""`roadworthy activity`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, add_target, command, target
from roadworthy.cli.database import opened
from roadworthy.cli.exits import DONE
from roadworthy.cli.output import print_json, print_table

if TYPE_CHECKING:
    from roadworthy.activity.figures import Cohort, Day
    from roadworthy.database.driver import Record

_DAYS = 14
_MOST_DAYS = 400
_WEEKS = 8


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "activity",
        help="tell how many were active, and how many came back",
        description="Tell for each activity how many were active on each day, and of those who came first in a week\n"
        "how many were active one to four weeks later. Days are UTC's, today is not over. The database\n"
        "is DATABASE_URL's, or the embedded PostgreSQL in ROADWORTHY_DATA_DIR, running or not.",
        examples="  roadworthy activity vitals.service:service\n"
        "  roadworthy activity vitals.service:service --days 30 --json",
    )
    add_target(parser)
    parser.add_argument(
        "--days", type=_days, default=_DAYS, metavar="N", help=f"how many days to list (default: {_DAYS})"
    )
    add_json(parser)
    parser.set_defaults(run=lambda options: asyncio.run(_run(options)))


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 1 to {_MOST_DAYS}")
    return int(text)


async def _run(options: argparse.Namespace) -> int:
    from roadworthy.activity import postgres
    from roadworthy.database.queries import load_queries

    names = [activity.name for activity in target(options).service.spec.activities]
    today = datetime.now(UTC).date()
    statements = load_queries(postgres.PACKAGE)
    found: dict[str, tuple[list[Day], list[Cohort]]] = {}
    async with opened("activity", "activities") as database:

        async def fetch(statement: str, *arguments: object) -> Sequence[Record]:
            return await database.pool.fetch(statements[statement], *arguments)

        for name in names:
            days = await postgres.days(fetch, name, today - timedelta(days=options.days - 1), today)
            found[name] = days, await postgres.cohorts(fetch, name, today, weeks=_WEEKS)
    if options.json:
        print_json({"activities": [_document(name, *parts) for name, parts in found.items()]})
    else:
        _tell(found)
    return DONE


def _tell(found: dict[str, tuple[list[Day], list[Cohort]]]) -> None:
    if not found:
        print("the service counts no activity; declare one with service.activity()")
    for name, (days, cohorts) in found.items():
        print(f"{name}, by day")
        header = ("DAY", "ACTIVE", "NEW")
        print_table(header, [(str(one.day), f"{one.active:,}", f"{one.new:,}") for one in days], right=header[1:])
        if cohorts:
            print(f"\n{name}, by the week in which they came first, and the share that was active again")
            weeks = ("AFTER 1 WEEK", "2", "3", "4")
            rows = [(str(one.week), f"{one.size:,}", *map(_share, one.returned, [one.size] * 4)) for one in cohorts]
            print_table(("WEEK FROM", "CAME", *weeks), rows, right=("CAME", *weeks))
        print()


def _share(returned: int | None, size: int) -> str:
    return "-" if returned is None else f"{returned / size:.0%}"


def _document(name: str, days: list[Day], cohorts: list[Cohort]) -> dict[str, object]:
    return {
        "activity": name,
        "days": [{"day": str(one.day), "active": one.active, "new": one.new} for one in days],
        "cohorts": [{"week": str(one.week), "size": one.size, "returned": one.returned} for one in cohorts],
    }
