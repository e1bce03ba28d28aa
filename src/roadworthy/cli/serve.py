"""`roadworthy serve`."""

from __future__ import annotations

import argparse
from typing import Any

from roadworthy.cli.arguments import add_target, command


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "serve",
        help="serve a service's requests in this process",
        description="Serve the requests of a service in this one process, on the database of DATABASE_URL (or of a\n"
        "`roadworthy run` on this machine). Run `roadworthy migrate` before.",
        examples="  DATABASE_URL=postgresql://me@db/app ROADWORTHY_HOST=0.0.0.0 roadworthy serve app.service",
    )
    add_target(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from roadworthy.cli.alone import run_alone
    from roadworthy.runtime.alone import serve

    return run_alone(options, serve)
