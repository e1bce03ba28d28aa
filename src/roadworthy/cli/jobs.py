"""`roadworthy jobs`: look at jobs, and retry or discard them."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command, positive
from roadworthy.cli.exits import BAD_USAGE, DONE, NO
from roadworthy.cli.output import print_json, print_table, styled

if TYPE_CHECKING:
    from roadworthy.jobs.engine import Engine
    from roadworthy.jobs.operations import JobRecord

_STATES = ("scheduled", "ready", "running", "dead")
_PAGE = 1000
_DATABASE = "The database is DATABASE_URL's, or the embedded PostgreSQL in ROADWORTHY_DATA_DIR, running or not."


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "jobs",
        help="look at jobs, and retry or discard them",
        description=f"Look at the jobs of a service, and retry or discard them.\n{_DATABASE}",
        examples="  roadworthy jobs counts\n  roadworthy jobs list --state dead --queue crawling\n"
        "  roadworthy jobs show 42\n  roadworthy jobs retry 42 43\n  roadworthy jobs discard --all --queue mail",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_list(actions)
    _add_show(actions)
    _add_change(actions, "retry", "make dead jobs ready again, with their attempts anew", "  roadworthy jobs retry 42")
    _add_change(actions, "discard", "delete dead jobs for good", "  roadworthy jobs discard --all --job fetch_page")
    counts = command(
        actions,
        "counts",
        help="count the jobs of each queue",
        description="Count the jobs of each queue by state.",
        examples="  roadworthy jobs counts --json",
    )
    add_json(counts)
    counts.set_defaults(run=_with_engine(_counts))


def _add_list(actions: Any) -> None:
    listing = command(
        actions,
        "list",
        help="list jobs, newest first",
        description="List jobs, newest first.",
        examples="  roadworthy jobs list --state dead\n  roadworthy jobs list --job fetch_page --limit 5 --json",
    )
    listing.add_argument("--queue", help="of this queue alone")
    listing.add_argument("--job", help="of this job alone")
    listing.add_argument("--state", choices=_STATES, help="in this state alone")
    listing.add_argument("--limit", type=positive, default=50, metavar="N", help="at most N (default 50)")
    add_json(listing)
    listing.set_defaults(run=_with_engine(_list))


def _add_show(actions: Any) -> None:
    show = command(
        actions,
        "show",
        help="show one job, with its arguments and failures",
        description="Show one job with its arguments, and with the error and the traceback of each failed attempt.",
        examples="  roadworthy jobs show 42",
    )
    show.add_argument("id", type=positive, help="the job's id")
    add_json(show)
    show.set_defaults(run=_with_engine(_show))


def _add_change(actions: Any, name: str, help: str, examples: str) -> None:
    change = command(actions, name, help=help, description=f"{help[0].upper()}{help[1:]}.", examples=examples)
    change.add_argument("ids", nargs="*", type=positive, metavar="ID", help="the ids of the jobs")
    change.add_argument("--all", action="store_true", help="every dead job instead, or those of --queue and --job")
    change.add_argument("--queue", help="with --all: of this queue alone")
    change.add_argument("--job", help="with --all: of this job alone")
    change.add_argument("--yes", action="store_true", help="do it without asking")
    add_json(change)
    change.set_defaults(run=_with_engine(_change), change=name)


def _with_engine(action: Callable[[argparse.Namespace, Engine], Awaitable[int]]) -> Callable[[argparse.Namespace], int]:
    async def run(options: argparse.Namespace) -> int:
        async with _engine() as engine:
            return await action(options, engine)

    return lambda options: asyncio.run(run(options))


@asynccontextmanager
async def _engine() -> AsyncIterator[Engine]:
    from roadworthy.database import driver
    from roadworthy.database.pool import Pool
    from roadworthy.database.spec import DatabaseSpec
    from roadworthy.errors import DatabaseUnavailable
    from roadworthy.jobs.postgres import PostgresEngine
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
        await Pool.open(dsn, DatabaseSpec("main", pool=(1, 2)), application_name="roadworthy jobs") as pool,
    ):
        engine = PostgresEngine(pool, dsn)
        try:
            yield engine
        except driver.UndefinedTable as error:
            raise DatabaseUnavailable("this database keeps no jobs yet; run `roadworthy migrate` first") from error
        finally:
            await engine.close()


async def _counts(options: argparse.Namespace, engine: Engine) -> int:
    counts = await engine.counts()
    if options.json:
        print_json({"queues": [asdict(count) for count in counts]})
    elif counts:
        header = ("QUEUE", "SCHEDULED", "READY", "RUNNING", "DEAD", "OLDEST READY")
        rows = [
            (count.queue, count.scheduled, count.ready, count.running, count.dead, _moment(count.oldest_ready_at))
            for count in counts
        ]
        print_table(header, rows, right=header[1:5])
    else:
        print("no queue holds a job")
    return DONE


async def _list(options: argparse.Namespace, engine: Engine) -> int:
    found = await engine.operations.jobs(queue=options.queue, job=options.job, state=options.state, limit=options.limit)
    if options.json:
        print_json({"jobs": [_document(record) for record in found]})
    elif found:
        rows = [
            (
                record.id,
                record.state,
                record.queue,
                record.job,
                f"{record.attempt}/{record.attempts}",
                _moment(record.run_at),
                record.arguments.decode(),
            )
            for record in found
        ]
        print_table(("ID", "STATE", "QUEUE", "JOB", "ATTEMPT", "AT", "ARGUMENTS"), rows, right=("ID",))
    else:
        print("no job matches")
    return DONE


async def _show(options: argparse.Namespace, engine: Engine) -> int:
    from roadworthy.errors import JobNotFound

    record = await engine.operations.find(options.id)
    if record is None:
        raise JobNotFound(f"no job has the id {options.id}; it may have succeeded since. See `roadworthy jobs list`")
    if options.json:
        print_json(_document(record))
        return DONE
    print(styled(f"{record.job} {record.id}", "bold"))
    for name, value in (
        ("state", record.state),
        ("queue", record.queue),
        ("attempt", f"{record.attempt} of {record.attempts}"),
        ("priority", record.priority),
        ("unique key", record.unique_key),
        ("enqueued at", _moment(record.enqueued_at)),
        ("runs at" if record.state == "scheduled" else "since", _moment(record.run_at)),
        ("worker", record.worker),
        ("arguments", record.arguments.decode()),
    ):
        if value is not None:
            print(f"  {name:<12} {value}")
    for failure in record.failures:
        print(styled(f"attempt {failure.get('attempt', '?')}: {failure.get('error_class')}", "red"))
        print(f"  {failure.get('message', '')}")
        for line in str(failure.get("traceback") or "").rstrip().splitlines():
            print(f"  {line}")
    return DONE


async def _change(options: argparse.Namespace, engine: Engine) -> int:
    if bool(options.ids) == options.all or (options.ids and (options.queue or options.job)):
        print("error: name the jobs by id, or take --all with --queue and --job to narrow it", file=sys.stderr)
        return BAD_USAGE
    ids = await _dead(engine, options.queue, options.job) if options.all else list(dict.fromkeys(options.ids))
    if options.all and ids and not options.yes:
        if not sys.stdin.isatty():
            print(f"error: {_jobs(len(ids))} would be affected; add --yes to {options.change} them", file=sys.stderr)
            return BAD_USAGE
        answer = await _asked(f"{options.change} {_jobs(len(ids))}? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            return NO
    change = engine.operations.retry_dead if options.change == "retry" else engine.operations.discard
    changed = 0
    for start in range(0, len(ids), _PAGE):
        changed += await change(ids[start : start + _PAGE])
    if options.json:
        print_json({"asked": len(ids), "changed": changed})
    else:
        done = "ready again" if options.change == "retry" else "discarded"
        print(f"{_jobs(changed)} {done}")
        if changed < len(ids):
            which = "dead" if options.change == "retry" else "waiting or dead"
            print(f"{_jobs(len(ids) - changed)} not found, or not {which}", file=sys.stderr)
    return DONE if changed == len(ids) else NO


async def _asked(question: str) -> str:
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


async def _dead(engine: Engine, queue: str | None, job: str | None) -> list[int]:
    ids: list[int] = []
    while True:
        page = await engine.operations.jobs(
            queue=queue, job=job, state="dead", limit=_PAGE, before=ids[-1] if ids else None
        )
        ids += [record.id for record in page]
        if len(page) < _PAGE:
            return ids


def _document(record: JobRecord) -> dict[str, Any]:
    return {**asdict(record), "arguments": json.loads(record.arguments)}


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}"


def _moment(moment: Any) -> str:
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
