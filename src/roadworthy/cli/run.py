"""`roadworthy run`."""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import Any

from roadworthy.cli.arguments import add_target, command, positive, target
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.output import say


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "run",
        help="run a whole service on this machine",
        description="Run a service on this machine: a PostgreSQL of its own (unless DATABASE_URL is set), its\n"
        "migrations, its web server, a worker for each queue, and the scheduler. What dies is started again.\n"
        "Ctrl-C or SIGTERM lets requests and jobs finish; the second one stops at once.",
        examples="  roadworthy run sitesearch.service:service\n"
        "  ROADWORTHY_PORT=8080 roadworthy run service.py\n"
        "  DATABASE_URL=postgresql://me@db/app roadworthy run app.service --web 2",
    )
    add_target(parser)
    parser.add_argument(
        "--web", type=positive, default=1, metavar="N", help="processes that serve requests (default 1)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the service until it is told to stop."""
    from roadworthy.runtime.loop import leave
    from roadworthy.runtime.run import run as run_service
    from roadworthy.runtime.settings import Settings
    from roadworthy.telemetry import logging

    settings = Settings.load(os.environ)
    logging.configure(settings.log_format, settings.log_level)
    found = target(options)
    clean = asyncio.run(run_service(found, settings, web=options.web, say=say))
    leave(DONE if clean else NO)
