"""Issues and revokes API keys: `python -m vitals.keys issue user REFERENCE`, `python -m vitals.keys revoke < KEY`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime, timedelta

from roadworthy import RoadworthyError
from vitals.reading import access
from vitals.service import database, service


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(prog="python -m vitals.keys", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    issue = commands.add_parser("issue", help="print a new key; it cannot be shown again")
    issue.add_argument("holder", choices=("user", "trainer"))
    issue.add_argument("reference", help="the provider's name for the user, or the trainer's reference")
    issue.add_argument("--label", default="", help="what the key is for")
    issue.add_argument("--days", type=int, help="for how long it works (default: until it is revoked)")
    commands.add_parser("revoke", help="end the key that is given on the standard input")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks; return 0 done, 1 no such holder or key, 2 no database."""
    options = parser().parse_args(arguments)
    try:
        return asyncio.run(run(options))
    except RoadworthyError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2


async def run(options: argparse.Namespace) -> int:
    """Issue or revoke a key; return the exit code."""
    async with service.running():
        if options.command == "revoke":
            revoked = await access.revoke(database, sys.stdin.readline().strip())
            print("revoked" if revoked else "no such key is in force", file=sys.stderr)  # noqa: T201
            return 0 if revoked else 1
        expires_at = None if options.days is None else datetime.now(UTC) + timedelta(days=options.days)
        key = await access.issue(
            database, options.holder, options.reference, label=options.label, expires_at=expires_at
        )
    if key is None:
        print(f"there is no {options.holder} {options.reference!r}", file=sys.stderr)  # noqa: T201
        return 1
    print(key)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
