"""The database of commands, and times as they are given to them."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from roadworthy.cli.arguments import age
from roadworthy.cli.exits import NO
from roadworthy.errors import DatabaseUnavailable, KeyNotFound

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool
    from roadworthy.runtime.settings import Settings

Action = Callable[[argparse.Namespace, "Pool"], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Opened:
    """The database of the settings."""

    pool: Pool
    dsn: str
    settings: Settings


def with_pool(action: Action) -> Callable[[argparse.Namespace], int]:
    """Return a command that runs `action` on the database of the settings."""

    async def run(options: argparse.Namespace) -> int:
        async with opened("keys", "API keys") as database:
            try:
                return await action(options, database.pool)
            except KeyNotFound as error:
                print(f"error: {error}", file=sys.stderr)
                return NO

    return lambda options: asyncio.run(run(options))


@asynccontextmanager
async def opened(name: str, kept: str, *, connections: int = 1) -> AsyncIterator[Opened]:
    """Open the database of the settings for the command `name`; `kept` is what it looks for there."""
    from roadworthy.database import driver
    from roadworthy.database.pool import Pool
    from roadworthy.database.spec import DatabaseSpec
    from roadworthy.runtime.lifecycle import database
    from roadworthy.runtime.settings import Settings

    settings = Settings.load(os.environ)
    if settings.database_url is None and not settings.data_directory.is_dir():
        raise DatabaseUnavailable(
            f"DATABASE_URL is not set, and there is no {settings.data_directory}; set it, or change to the directory "
            "in which `roadworthy run` was started"
        )
    async with (
        database(settings) as dsn,
        await Pool.open(
            dsn, DatabaseSpec("main", pool=(1, connections)), application_name=f"roadworthy {name}"
        ) as pool,
    ):
        try:
            yield Opened(pool, dsn, settings)
        except driver.MISSING as error:
            raise DatabaseUnavailable(
                f"this database keeps no {kept} yet, or those of an older version; run `roadworthy migrate` first"
            ) from error


def duration(text: str) -> timedelta:
    """Parse "0", "90s", "30m", "2h" or "7d"."""
    found = timedelta(0) if text == "0" else age(text)
    if found is None or found > timedelta(days=3660):
        raise argparse.ArgumentTypeError(f"{text!r} is no time as in 90s, 30m, 2h or 7d")
    return found


def when(text: str) -> datetime:
    """Parse a time, or an age as the time so long ago."""
    if (old := age(text)) is not None:
        return datetime.now().astimezone() - old
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time as in 2030-01-31T12:00+01:00 nor an age as in 90s, 30m, 2h or 7d"
        ) from None
