"""`roadworthy work`."""

from __future__ import annotations

import argparse
import functools
from typing import Any

from roadworthy.cli.arguments import add_target, command, positive


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "work",
        help="run a service's jobs in this process",
        description="Run the jobs of a service in this one process, on the database of DATABASE_URL (or of a\n"
        "`roadworthy run` on this machine).",
        examples="  DATABASE_URL=postgresql://me@db/app roadworthy work app.service\n"
        "  roadworthy work app.service --queue mail --queue reports --concurrency 20",
    )
    add_target(parser)
    parser.add_argument(
        "--queue", action="append", default=[], metavar="QUEUE", help="work on this queue alone (repeatable)"
    )
    parser.add_argument(
        "--concurrency", type=positive, metavar="N", help="jobs of a queue to run at once (default: as declared)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Work until told to stop."""
    from roadworthy.cli.alone import run_alone
    from roadworthy.runtime.alone import work

    return run_alone(options, functools.partial(work, queues=options.queue, concurrency=options.concurrency))
