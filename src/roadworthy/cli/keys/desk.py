"""What every action on API keys works with: the declaration, who is asking, and how a key is shown."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from roadworthy.cli.exits import BAD_USAGE, NO
from roadworthy.cli.jobs.desk import asked, moment, who
from roadworthy.errors import TargetError

if TYPE_CHECKING:
    from roadworthy.security.keys import Asker, IssuedKey, KeyRecord
    from roadworthy.security.keys_spec import ApiKeysSpec


def add_service(parser: argparse.ArgumentParser) -> None:
    """Add the service, and which of its declarations is meant."""
    parser.add_argument(
        "--service",
        dest="target",
        metavar="TARGET",
        help="the service that declares them (default: ROADWORTHY_SERVICE, or [tool.roadworthy] in pyproject.toml)",
    )
    parser.add_argument("--keys", metavar="NAME", help="the declaration, where a service has several")


def declared(options: argparse.Namespace) -> ApiKeysSpec:
    """Return the declaration that the command line means; raise TargetError where it is not clear."""
    from roadworthy.cli.arguments import target

    service = target(options).service
    specs = {spec.name: spec for spec in service.spec.api_keys}
    if not specs:
        raise TargetError(f"service {service.name!r} declares no API keys; add service.api_keys(prefix=...) to it")
    if options.keys is None and len(specs) > 1:
        raise TargetError(f"service {service.name!r} declares several kinds of API keys; say --keys {'|'.join(specs)}")
    name = options.keys or next(iter(specs))
    if name not in specs:
        raise TargetError(f"service {service.name!r} declares no API keys {name!r}; it has: {', '.join(specs)}")
    return specs[name]


def asker(options: argparse.Namespace) -> Asker:
    """Return who asks, for the audit."""
    from roadworthy.security.keys import Asker

    return Asker(who(options), None, options.reason)


def id_given(text: str) -> str:
    """Parse a key's id, or the whole key, which is then not repeated."""
    from roadworthy.security.key import id_of

    id = id_of(text)
    if id is None:
        raise argparse.ArgumentTypeError("that is neither the id of an API key, as in shop_4fTb81Qz, nor a whole key")
    return id


async def refused(options: argparse.Namespace, question: str) -> int | None:
    """Ask, and return an exit code unless the answer is yes."""
    if options.yes:
        return None
    if not sys.stdin.isatty():
        print(f"error: {question} Add --yes where nobody can be asked", file=sys.stderr)
        return BAD_USAGE
    answer = await asked(f"{question} [y/N] ")
    return None if answer.strip().lower() in ("y", "yes") else NO


def described(record: KeyRecord) -> str:
    """Return a key as a question names it."""
    used = "never used" if record.last_used_at is None else f"last used {moment(record.last_used_at)}"
    whose = f" of {record.owner}" if record.owner else ""
    return f"{record.id} ({record.name!r}{whose}, {used})"


def document(record: KeyRecord) -> dict[str, Any]:
    """Return a key as JSON tells it."""
    now = datetime.now().astimezone()
    return {**asdict(record), "state": record.state(now)}


def show_issued(issued: IssuedKey) -> None:
    """Print a new key, alone on the standard output, and that it is shown once."""
    print(issued.secret)
    until = "until it is revoked" if issued.record.expires_at is None else f"until {moment(issued.record.expires_at)}"
    print(f"{issued.id} works {until}. Keep the key now: it cannot be shown again.", file=sys.stderr)
