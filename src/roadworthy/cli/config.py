"""`roadworthy config`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.exits import DONE
from roadworthy.cli.output import print_json, print_table


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "config",
        help="print every setting, its value and where that came from",
        description="Print every setting that the environment decides: its value (passwords masked), where that\n"
        "came from, and what it means.",
        examples="  roadworthy config\n  ROADWORTHY_PORT=8080 roadworthy config --json",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the settings."""
    from roadworthy.runtime.settings import Settings

    settings = Settings.load(os.environ)
    if options.json:
        entries = [
            {"name": entry.name, "value": entry.value, "source": entry.source, "meaning": entry.description}
            for entry in settings.entries
        ]
        print_json({"settings": entries, "warnings": settings.warnings})
        return DONE
    rows = [
        (entry.name, entry.value if entry.value is not None else "-", entry.source, entry.description)
        for entry in settings.entries
    ]
    print_table(("SETTING", "VALUE", "SOURCE", "MEANING"), rows)
    for warning in settings.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return DONE
