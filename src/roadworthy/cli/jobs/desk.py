"""What every action on jobs works with: the engine on the right database, and who is asking."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roadworthy.cli.database import opened

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool
    from roadworthy.jobs.postgres import PostgresEngine
    from roadworthy.jobs.sealing import Keys


@dataclass(frozen=True, slots=True)
class Desk:
    """The engine on its database; a change and its note go into one transaction of `pool`.

    `keys` decrypt what encrypted jobs were given.
    """

    engine: PostgresEngine
    pool: Pool
    keys: Keys | None = None


Action = Callable[[argparse.Namespace, Desk], Awaitable[int]]


def with_desk(action: Action) -> Callable[[argparse.Namespace], int]:
    """Return a command that runs `action` on the database of the settings."""

    async def run(options: argparse.Namespace) -> int:
        async with _opened() as desk:
            return await action(options, desk)

    return lambda options: asyncio.run(run(options))


@asynccontextmanager
async def _opened() -> AsyncIterator[Desk]:
    from roadworthy.jobs.postgres import PostgresEngine
    from roadworthy.jobs.sealing import keys_of

    async with opened("jobs", "jobs", connections=2) as database:
        engine = PostgresEngine(database.pool, database.dsn)
        try:
            yield Desk(engine, database.pool, keys_of(database.settings.encryption_keys))
        finally:
            await engine.close()


def add_who(parser: argparse.ArgumentParser) -> None:
    """Add who does it and why, for the audit."""
    parser.add_argument("--as", dest="who", metavar="NAME", help="who does it, for the audit (default: user@host)")
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit")


def who(options: argparse.Namespace) -> str:
    """Return who does it: the name given, or the user at this machine."""
    if options.who:
        return str(options.who)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container's user need not have a name.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


async def asked(question: str) -> str:
    """Return the line that a person answers at the terminal. A thread in `input` would hold up Ctrl-C."""
    print(question, end="", file=sys.stderr, flush=True)
    loop = asyncio.get_running_loop()
    answered = asyncio.Event()
    loop.add_reader(sys.stdin, answered.set)
    try:
        await answered.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline()


def count_of(count: int, what: str = "job") -> str:
    """Return "1 job", "2,000 jobs"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def moment(at: Any) -> str:
    """Return a time as people here read it, "-" for none."""
    return "-" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
