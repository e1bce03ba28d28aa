"""`roadworthy migrate`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, add_target, command, target
from roadworthy.cli.exits import DONE
from roadworthy.cli.output import print_json

if TYPE_CHECKING:
    from roadworthy.database.migration import Progress
    from roadworthy.runtime.settings import Settings
    from roadworthy.service import ServiceSpec


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "migrate",
        help="apply the migrations that a service's database has not seen",
        description="Apply the library's and the service's pending migrations to the database of DATABASE_URL, or to\n"
        "the embedded PostgreSQL. However many run this at once, each migration is applied once.",
        examples="  roadworthy migrate app.service\n  roadworthy migrate app.service --dry-run",
    )
    add_target(parser)
    parser.add_argument("--dry-run", action="store_true", help="list what is pending, and change nothing")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Apply or list the pending migrations."""
    from roadworthy.runtime.settings import Settings

    settings = Settings.load(os.environ)
    spec = target(options).service.spec
    done = asyncio.run((_pending if options.dry_run else _apply)(settings, spec, quiet=options.json))
    if options.json:
        files = [{"set": one.set, "version": one.version, "name": one.name} for one in done]
        print_json({"dry_run": options.dry_run, "migrations": files})
    elif options.dry_run:
        for one in done:
            print(f"pending  {one.set} {one.version:04}_{one.name}")
        print(f"{len(done)} to apply" if done else "nothing to apply")
    else:
        print(f"applied {len(done)}" if done else "nothing to apply")
    return DONE


async def _pending(settings: Settings, spec: ServiceSpec, *, quiet: bool) -> list[Any]:
    from roadworthy.database import driver
    from roadworthy.database.migration import plan
    from roadworthy.runtime.lifecycle import database, migrations

    async with database(settings) as dsn:
        connection = await driver.connect(dsn)
        try:
            found = await plan(connection, migrations(spec))
        finally:
            await driver.close(connection)
    return [planned.migration for planned in found if planned.state != "applied"]


async def _apply(settings: Settings, spec: ServiceSpec, *, quiet: bool) -> list[Any]:
    from roadworthy.database.migration import apply
    from roadworthy.runtime.lifecycle import database, migrations

    async with database(settings) as dsn:
        return list(await apply(dsn, migrations(spec), on_progress=_silent if quiet else _print))


def _print(progress: Progress) -> None:
    what = "" if progress.migration is None else f" {progress.migration.set} {progress.migration.version:04}"
    detail = f" ({progress.detail})" if progress.detail else ""
    name = "" if progress.migration is None else f"_{progress.migration.name}"
    print(f"{progress.event}{what}{name}{detail}", file=sys.stderr, flush=True)


def _silent(progress: Progress) -> None:
    """Leave standard error to errors."""
