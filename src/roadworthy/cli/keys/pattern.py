"""`roadworthy keys pattern`."""

from __future__ import annotations

import argparse
from typing import Any

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.exits import DONE
from roadworthy.cli.keys.desk import add_service, declared
from roadworthy.cli.output import print_json


def add(actions: Any) -> None:
    """Add the action."""
    pattern = command(
        actions,
        "pattern",
        help="print the regular expression that finds keys which leaked",
        description="Print the regular expression by which scanners of secrets find the service's API keys. The last\n"
        "six characters of a match are the CRC-32 of all before them in base 62, which tells a key from the rest.",
        examples='  roadworthy keys pattern\n  git grep -nPe "$(roadworthy keys pattern)"',
    )
    add_service(pattern)
    add_json(pattern)
    pattern.set_defaults(run=_pattern)


def _pattern(options: argparse.Namespace) -> int:
    from roadworthy.security.key import scanner_pattern

    spec = declared(options)
    found = scanner_pattern(spec.prefix)
    if options.json:
        print_json({"keys": spec.name, "prefix": spec.prefix, "pattern": found})
    else:
        print(found)
    return DONE
