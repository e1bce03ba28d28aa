"""Arguments that several commands take."""

from __future__ import annotations

import argparse
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roadworthy.runtime.target import Target


# PostgreSQL's bigint takes them all.
_MOST_DIGITS = 18
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def command(commands: Any, name: str, *, help: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Add a command whose `--help` ends in `examples`."""
    added: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return added


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the service that a command is for."""
    parser.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="the service, as package.module:attribute or path/to/file.py:attribute (default: ROADWORTHY_SERVICE, or "
        "[tool.roadworthy] in pyproject.toml)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the choice of JSON over text."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def positive(text: str) -> int:
    """Parse a whole number above 0."""
    number = int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {'9' * _MOST_DIGITS}")
    return number


def age(text: str) -> timedelta | None:
    """Return the time that "90s", "30m", "2h" or "7d" says, None where it is none."""
    found = _AGE.fullmatch(text)
    return timedelta(**{_UNITS[found[2]]: float(found[1])}) if found else None


def target(options: argparse.Namespace) -> Target:
    """Import the service that the command line, the environment or the project names."""
    from roadworthy.runtime.target import default, resolve

    return resolve(options.target or default(os.environ, Path.cwd()))
