"""`roadworthy schedule`."""

from __future__ import annotations

import argparse
from typing import Any

from roadworthy.cli.arguments import add_target, command


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "schedule",
        help="enqueue a service's repeating jobs from this process",
        description="Enqueue the jobs declared with every= or cron= when they are due, on the database of\n"
        "DATABASE_URL (or of a `roadworthy run` on this machine). Any number may run: each fire time is enqueued once.",
        examples="  DATABASE_URL=postgresql://me@db/app roadworthy schedule app.service",
    )
    add_target(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Schedule until told to stop."""
    from roadworthy.cli.alone import run_alone
    from roadworthy.runtime.alone import schedule

    return run_alone(options, schedule)
